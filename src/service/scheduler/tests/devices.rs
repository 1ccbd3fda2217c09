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

/// Seconds that an image of the first model is estimated to take behind so many.
fn wait(stand: &Stand, ahead: usize) -> f64 {
    stand.scheduler.estimated_wait(stand.models[0], ahead, stand.now).as_secs_f64()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
}

#[test]
fn the_estimated_wait_is_that_of_all_devices_and_of_those_who_share_them_and_of_its_own_batch() {
    // 10 ms an image in batches of four, 20 ms alone
    let one = Stand::new(&[(4, NONE)]);
    near(wait(&one, 40), 0.4 + 0.02);
    near(wait(&one, 43), 0.4 + 0.04);
    let mut four = Stand::with_devices(4, &[(4, NONE), (4, NONE)]);
    near(wait(&four, 40), 0.1 + 0.02);
    four.push(1);
    near(wait(&four, 40), 2.0 * (0.1 + 0.02)); // another model waits for them too
    four.scheduler.fail(DEVICE);
    near(wait(&four, 36), 2.0 * (0.12 + 0.02));
    // one is twice as fast
    let mut two = Stand::with_devices(2, &[(4, NONE)]);
    let model = two.models[0];
    two.scheduler.open(model, DEVICE, times(4, 0.005));
    near(wait(&two, 36), 0.12 + 0.01);
}

#[test]
fn of_a_batch_that_runs_what_is_left_counts_and_the_next_is_expected_to_be_as_large() {
    let mut stand = Stand::new(&[(4, NONE)]);
    for _ in 0..4 {
        stand.push(0);
    }
    let (charge, _) = stand.run_on(0);
    near(wait(&stand, 4), 0.04 + 0.04);
    stand.now += 30 * MS;
    near(wait(&stand, 4), 0.01 + 0.04);
    near(wait(&stand, 8), 0.01 + 0.04 + 0.04);
    stand.now += 100 * MS;
    near(wait(&stand, 4), 0.04); // it takes longer than was estimated
    // one runs behind the other
    stand.push(0);
    let (second, _) = stand.run_on(0);
    near(wait(&stand, 5), 0.02 + 0.02);
    stand.scheduler.done(charge, 130 * MS);
    stand.now += 15 * MS;
    near(wait(&stand, 1), 0.005 + 0.02);
    stand.scheduler.failed(second);
    near(wait(&stand, 0), 0.0);
}

#[test]
fn an_image_for_which_a_device_is_free_is_never_estimated_to_come_too_late() {
    let mut stand = Stand::with_devices(2, &[(1, NONE)]);
    near(wait(&stand, 0), 0.0);
    stand.run_on_after_push();
    near(wait(&stand, 1), 0.0); // the other device
    stand.push(0);
    let _running = stand.run_on(1);
    near(wait(&stand, 2), 0.02);
    // both are busy with another model's, the second for longer
    let mut others = Stand::with_devices(2, &[(4, NONE), (4, NONE)]);
    for _ in 0..5 {
        others.push(1);
    }
    assert_eq!((others.run_on(0).1.len(), others.run_on(1).1.len()), (3, 2));
    near(wait(&others, 0), 0.02 + 0.02 / 3.0 + 0.02);
}

#[test]
fn the_time_of_an_image_follows_what_is_measured() {
    let mut stand = Stand::new(&[(1, NONE)]);
    for _ in 0..50 {
        stand.push(0);
        stand.run_for(40 * MS);
    }
    // one ahead, and itself
    assert!((0.078..0.082).contains(&wait(&stand, 1)), "{}", wait(&stand, 1));
}
