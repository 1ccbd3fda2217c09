//! Several devices: who runs what, what a failed one leaves behind, how long it all takes.

use super::*;

#[test]
fn idle_devices_share_what_waits() {
    let mut stand = Stand::with_devices(2, &[(8, NONE)]);
    for _ in 0..5 {
        stand.push(0);
    }
    assert_eq!(stand.run_on(0).1, [1, 2, 3]);
    assert_eq!(stand.run_on(1).1, [4, 5]);
    for _ in 0..5 {
        stand.push(0);
    }
    assert_eq!(stand.run_on(0).1.len(), 5, "with the other one busy");
}

#[test]
fn a_device_runs_only_what_is_ready_there() {
    let mut stand = Stand::with_devices(2, &[(4, NONE)]);
    let second_only = stand.scheduler.add(Queue::new(NONE));
    assert!(stand.scheduler.open(second_only, DeviceIndex(1), times(4, 0.01)));
    stand.models.push(second_only);
    stand.push(1);
    assert_eq!(stand.next(), Next::Idle);
    assert_eq!(stand.run_on(1).1, [1]);
}

#[test]
fn a_model_that_is_ready_nowhere_takes_nothing() {
    let mut stand = Stand::new(&[]);
    let model = stand.scheduler.add(Queue::new(NONE));
    let refused = stand.scheduler.push(model, EntryId(1), stand.now, stand.now + MS, 7);
    assert_eq!((refused, stand.scheduler.is_open(model)), (Err(7), false));
}

#[test]
fn the_queue_of_a_failed_device_goes_to_the_others_and_the_last_ones_is_given_back() {
    let mut stand = Stand::with_devices(2, &[(4, NONE)]);
    let _running = stand.run_on_after_push();
    for _ in 0..3 {
        stand.push(0);
    }
    assert_eq!(stand.scheduler.fail(DEVICE), []);
    assert!(stand.scheduler.is_open(stand.models[0]));
    assert_eq!(stand.next(), Next::Idle, "it gets nothing any more");
    assert_eq!(stand.run_on(1).1, [2, 3, 4]);
    stand.push(0);
    let stranded = stand.scheduler.fail(DeviceIndex(1));
    assert_eq!(stranded.into_iter().map(|entry| entry.payload).collect::<Vec<_>>(), [5]);
    assert!(!stand.scheduler.is_open(stand.models[0]));
    let late = stand.scheduler.open(stand.models[0], DEVICE, times(4, 0.01));
    assert!(!late, "a failed device does not come back");
}

#[test]
fn a_removed_model_gives_back_what_waits_and_its_running_batch_disturbs_nothing() {
    let mut stand = Stand::new(&[(1, NONE), (1, NONE)]);
    stand.push(0);
    let (charge, _) = stand.run_on(0);
    stand.push(0);
    let model = stand.models[0];
    assert_eq!(stand.scheduler.remove(model).len(), 1);
    stand.push(1);
    stand.scheduler.done(charge, MS);
    assert_eq!(stand.run_for(MS).0, 1);
    assert_eq!(stand.scheduler.remove(model), []);
}

#[test]
fn the_estimated_wait_is_that_of_all_devices_and_of_those_who_share_them() {
    let wait = |stand: &Stand, images| stand.scheduler.estimated_wait(stand.models[0], images).as_secs_f64();
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
    let one = Stand::new(&[(4, NONE)]);
    assert!(near(wait(&one, 40), 0.4), "{}", wait(&one, 40));
    let mut four = Stand::with_devices(4, &[(4, NONE), (4, NONE)]);
    assert!(near(wait(&four, 40), 0.1));
    four.push(1);
    assert!(near(wait(&four, 40), 0.2), "another model waits for them too");
    four.scheduler.fail(DEVICE);
    assert!(near(wait(&four, 30), 0.2));
    // one is twice as fast
    let mut two = Stand::with_devices(2, &[(4, NONE)]);
    let model = two.models[0];
    two.scheduler.open(model, DEVICE, times(4, 0.005));
    assert!(near(wait(&two, 30), 0.1), "{}", wait(&two, 30));
}

#[test]
fn the_time_of_an_image_follows_what_is_measured() {
    let mut stand = Stand::new(&[(1, NONE)]);
    for _ in 0..50 {
        stand.push(0);
        stand.run_for(40 * MS);
    }
    let wait = stand.scheduler.estimated_wait(stand.models[0], 1);
    assert!((39 * MS..41 * MS).contains(&wait), "{wait:?}");
}
