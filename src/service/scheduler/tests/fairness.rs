//! Models share device time evenly, whatever they cost and wherever they are; none starves.

use super::*;

/// Runs batches of `cost` per model, all saturated, until `total` has passed; the device time of each.
fn share(stand: &mut Stand, cost: &[Duration], total: Duration) -> Vec<Duration> {
    let mut used = vec![Duration::ZERO; cost.len()];
    let end = stand.now + total;
    while stand.now < end {
        for (model, _) in cost.iter().enumerate() {
            while stand.scheduler.len(stand.models[model]) < 8 {
                stand.push(model);
            }
        }
        let (charge, _) = stand.run_on(0);
        let model = stand.index(charge);
        stand.now += cost[model];
        used[model] += cost[model];
        stand.scheduler.done(charge, cost[model]);
    }
    used
}

#[test]
fn two_busy_models_share_device_time_evenly_whatever_their_cost() {
    let mut stand = Stand::new(&[(4, NONE), (4, NONE)]);
    let used = share(&mut stand, &[MS, 40 * MS], Duration::from_secs(10));
    let ratio = used[0].as_secs_f64() / used[1].as_secs_f64();
    assert!((0.95..1.05).contains(&ratio), "{used:?}");
}

#[test]
fn a_model_that_comes_late_is_served_at_once_and_pays_for_no_past() {
    let mut stand = Stand::new(&[(4, NONE), (4, NONE)]);
    for _ in 0..100 {
        stand.push(0);
        stand.run_for(20 * MS);
    }
    for _ in 0..8 {
        stand.push(0);
    }
    stand.push(1);
    assert_eq!(stand.run_for(MS).0, 1);
    assert_eq!(stand.run_for(MS).0, 0);
}

#[test]
fn a_lone_model_is_never_held_back_by_its_debt() {
    let mut stand = Stand::new(&[(1, NONE)]);
    stand.push(0);
    stand.run_for(Duration::from_secs(100));
    stand.push(0);
    assert_eq!(stand.run_for(MS), (0, vec![2]));
}

#[test]
fn a_batch_that_was_held_up_for_long_makes_no_model_starve() {
    let mut stand = Stand::new(&[(1, NONE), (1, NONE)]);
    stand.push(1);
    // a virtual machine that stood still
    stand.run_for(Duration::from_secs(30));
    let served = (0..100).filter(|_| {
        for model in [0, 1] {
            while stand.scheduler.len(stand.models[model]) < 4 {
                stand.push(model);
            }
        }
        stand.run_for(20 * MS).0 == 1
    });
    let served = served.count();
    assert!(served >= 30, "the model whose batch was held up got {served} of 100 turns");
}

#[test]
fn a_model_whose_small_batches_take_longer_than_its_large_ones_does_not_starve() {
    let mut stand = Stand::new(&[(1, NONE)]);
    let odd = stand.scheduler.add(Queue::new(NONE));
    let table = vec![(1, 0.012), (2, 0.0125), (4, 0.0105)];
    assert!(stand.scheduler.open(odd, DEVICE, BatchTimes::new(&Buckets::Fixed(vec![1, 2, 4]), table)));
    stand.models.push(odd);
    let mut served = 0;
    for _ in 0..2000 {
        while stand.scheduler.len(stand.models[0]) < 4 {
            stand.push(0);
        }
        if stand.scheduler.len(odd) == 0 {
            stand.push(1);
        }
        let (charge, _) = stand.run_on(0);
        let first = stand.index(charge) == 0;
        served += usize::from(!first);
        stand.scheduler.done(charge, if first { MS } else { 12 * MS });
    }
    assert!(served >= 100, "it ran {served} of 2,000 batches");
}

#[test]
fn two_models_share_two_devices_evenly_even_if_one_of_them_is_on_one_only() {
    let mut stand = Stand::with_devices(2, &[(1, NONE)]);
    let single = stand.scheduler.add(Queue::new(NONE));
    assert!(stand.scheduler.open(single, DEVICE, times(1, 0.01)));
    stand.models.push(single);
    let mut used = [0, 0];
    // both devices run batches of 20 ms in step
    for _ in 0..1000 {
        for model in [0, 1] {
            while stand.scheduler.len(stand.models[model]) < 4 {
                stand.push(model);
            }
        }
        let charges = [stand.run_on(0).0, stand.run_on(1).0];
        for charge in charges {
            used[stand.index(charge)] += 1;
            stand.scheduler.done(charge, 20 * MS);
        }
    }
    let ratio = f64::from(used[0]) / f64::from(used[1]);
    assert!((0.9..1.1).contains(&ratio), "{used:?}");
}

#[test]
fn no_model_starves_behind_one_that_could_save_up() {
    // `a` is on the first device only and always waits; `b` is on three. A third one comes late to the first device.
    let mut stand = Stand::with_devices(3, &[(1, NONE)]);
    for _ in 0..2 {
        let model = stand.scheduler.add(Queue::new(NONE));
        assert!(stand.scheduler.open(model, DEVICE, times(1, 0.01)));
        stand.models.push(model);
    }
    let mut late = Vec::new();
    for round in 0..400 {
        let busy: &[usize] = if round < 300 { &[0, 1] } else { &[0, 1, 2] };
        for &model in busy {
            while stand.scheduler.len(stand.models[model]) < 4 {
                stand.push(model);
            }
        }
        let charges = [0, 1, 2].map(|device| stand.run_on(device).0);
        for charge in charges {
            stand.scheduler.done(charge, 20 * MS);
        }
        late.push(stand.index(charges[0]));
    }
    let served = late[300..].iter().filter(|model| **model == 2).count();
    assert!((40..=60).contains(&served), "the late one got {served} of 100 turns of the first device");
}
