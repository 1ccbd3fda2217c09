//! The simulation against queueing theory, and what holds for any of its outcomes.

use super::*;

/// A Poisson process.
fn poisson(rate: f64, seed: u64) -> impl Iterator<Item = Duration> {
    let (mut random, mut last) = (fastrand::Rng::with_seed(seed), 0.0);
    std::iter::repeat_with(move || {
        last -= (1.0 - random.f64()).ln() / rate;
        Duration::from_secs_f64(last)
    })
}

fn same(images: usize, seconds: f64) -> BatchTime {
    BatchTime::constant(images, seconds)
}

/// Times of 0.4 to 4 times so many seconds, whose mean is near it.
fn spread(images: usize, seconds: f64) -> BatchTime {
    let quantiles = [0.4, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0].map(|factor| factor * seconds);
    BatchTime { images, quantiles }
}

/// One server whose device takes 10 ms for each image and a batch of one, for so many seconds.
fn scenario(seconds: u64) -> Scenario {
    Scenario {
        replicas: 1,
        devices: 1,
        balancing: Balancing::RoundRobin,
        speed: Speed::of_cpu(vec![same(1, 0.01)], 1).unwrap(),
        model: ModelOptions::default(),
        decode: None,
        host: Duration::ZERO,
        warm_up: Duration::from_secs(5),
        measured: Duration::from_secs(seconds),
        seed: 1,
    }
}

fn close(found: f64, expected: f64, within: f64) {
    assert!((found / expected - 1.0).abs() < within, "{found} instead of {expected}");
}

#[test]
fn one_device_without_batches_waits_as_long_as_theory_says() {
    // Pollaczek and Khinchine for constant times (M/D/1): ρ·s / 2(1 − ρ)
    for load in [0.3, 0.6, 0.8] {
        let outcome = simulate(&scenario(1000), poisson(100.0 * load, 7)).unwrap();
        close(outcome.mean_queue().as_secs_f64(), load * 0.01 / (2.0 * (1.0 - load)), 0.05);
        close(outcome.busy, load, 0.02);
        assert_eq!((outcome.mean_batch, outcome.failed()), (1.0, 0.0));
    }
    // even arrivals never wait
    let even = (0..).map(|index| Duration::from_millis(20) * index);
    let outcome = simulate(&scenario(10), even).unwrap();
    assert_eq!((outcome.mean_queue(), outcome.latency(1.0)), (Duration::ZERO, Duration::from_millis(10)));
}

#[test]
fn a_device_that_rests_between_requests_is_slower_and_one_that_is_full_is_not() {
    let after = |pause, seconds| AfterPause { pause, quantiles: [seconds; SHARES.len()] };
    let (plain, base) = (scenario(100), scenario(100).speed);
    let speed = base.with_pauses(vec![after(0.001, 0.012), after(0.02, 0.015)]).unwrap();
    let resting = Scenario { speed, ..plain.clone() };
    let p50 = |scenario: &Scenario, rate| simulate(scenario, poisson(rate, 7)).unwrap().latency(0.5).as_secs_f64();
    // at 5 a second nearly all come behind 20 ms of rest
    close(p50(&plain, 5.0), 0.010, 0.001);
    close(p50(&resting, 5.0), 0.015, 0.001);
    // even arrivals behind 8 ms of rest: between 12 and 15 ms
    let even = (0..).map(|index| Duration::from_millis(20) * index);
    let outcome = simulate(&resting, even).unwrap();
    assert!((12.5..13.5).contains(&(outcome.latency(0.9).as_secs_f64() * 1e3)), "{:?}", outcome.latency(0.9));
    // a full one has no rest
    close(p50(&resting, 200.0), p50(&plain, 200.0), 0.01);
}

#[test]
fn slow_batches_in_a_row_make_longer_queues_than_as_many_that_are_spread_evenly() {
    let slowness = |every, factors| Slowness::new(every, factors).unwrap();
    let p99 = |speed: Speed| {
        let outcome = simulate(&Scenario { speed, ..scenario(800) }, poisson(30.0, 7)).unwrap();
        // no request is lost, and the mean of the batches is the same
        assert_eq!(outcome.failed(), 0.0);
        close(outcome.busy, 30.0 * 0.0115, 0.05);
        outcome.latency(0.99).as_secs_f64()
    };
    // 10 ms, and 30 ms for three of forty: in three seconds of forty, in which the device can just do its load, or at any time
    let factors: Vec<f64> = [1.0; 37].into_iter().chain([3.0; 3]).collect();
    let plain = scenario(1).speed;
    let in_a_row = plain.clone().with_slowness(slowness(Duration::from_secs(1), factors));
    let even = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0].map(|factor| factor * 0.01);
    let spread = Speed::of_cpu(vec![BatchTime { images: 1, quantiles: even }], 1).unwrap();
    let (in_a_row, spread) = (p99(in_a_row), p99(spread));
    assert!(in_a_row > 1.5 * spread, "{in_a_row} in a row, {spread} spread");
    // a slowness that never changes is a slower device
    let always = plain.with_slowness(slowness(Duration::from_secs(1), vec![1.15]));
    let slower = Speed::of_cpu(vec![same(1, 0.0115)], 1).unwrap();
    close(p99(always), p99(slower), 1e-6);
}

#[test]
fn servers_of_a_fleet_are_slow_at_different_times() {
    // half of the time four times as long, which is too slow for the load: nobody would take over if all were slow together
    let speed = scenario(1).speed.with_slowness(Slowness::new(Duration::from_secs(2), vec![1.0, 4.0]).unwrap());
    let p99 = |replicas, rate| {
        let balancing = Balancing::LeastRequests;
        let scenario = Scenario { replicas, balancing, speed: speed.clone(), ..scenario(200) };
        simulate(&scenario, poisson(rate, 7)).unwrap().latency(0.99)
    };
    let (one, four) = (p99(1, 40.0), p99(4, 160.0));
    assert!(four < one / 2, "{four:?} of four, {one:?} of one");
}

#[test]
fn batches_grow_with_the_load_and_carry_more_than_singles_could() {
    // 10 ms alone, 26 ms for 16: 615 images/s instead of 100
    let speed = Speed::of_cpu(vec![same(1, 0.01), same(16, 0.026)], 16).unwrap();
    close(speed.capacity(), 615.0, 0.01);
    // what warm-up did not reach is tried within the first batches
    let scenario = Scenario { speed, warm_up: Duration::from_secs(1), ..scenario(30) };
    let outcomes = [0.1, 0.5, 0.9].map(|load| simulate(&scenario, poisson(615.0 * load, 3)).unwrap());
    assert!(outcomes.iter().all(|outcome| outcome.failed() == 0.0));
    assert!(outcomes.is_sorted_by_key(|outcome| outcome.latency(0.99)));
    assert!(outcomes.is_sorted_by(|a, b| a.mean_batch < b.mean_batch) && outcomes[2].mean_batch > 8.0);
    // an image waits at most for the batch before it, and then runs, while all that wait fit into one batch
    assert!(outcomes[1].latency(0.99) < Duration::from_millis(52), "{:?}", outcomes[1].latency(0.99));
}

#[test]
fn what_is_more_than_the_devices_can_do_is_refused_and_the_rest_waits_no_longer_than_the_queue() {
    let model = ModelOptions { queue_images: 50, ..ModelOptions::default() };
    let outcome = simulate(&Scenario { model, ..scenario(100) }, poisson(200.0, 5)).unwrap();
    close(outcome.failed(), 0.5, 0.03);
    assert!(outcome.late == 0 && outcome.busy > 0.99);
    assert!(outcome.latency(1.0) <= Duration::from_millis(510), "{:?}", outcome.latency(1.0));
    // a deadline that the queue would miss refuses too, and nothing is answered behind it
    let model = ModelOptions { deadline: Duration::from_millis(100), ..ModelOptions::default() };
    let outcome = simulate(&Scenario { model, ..scenario(100) }, poisson(200.0, 5)).unwrap();
    close(outcome.failed(), 0.5, 0.03);
    assert!(outcome.latency(1.0) <= Duration::from_millis(100), "{:?}", outcome.latency(1.0));
}

#[test]
fn at_twice_the_capacity_and_with_a_tight_deadline_little_more_than_half_fails_and_hardly_any_after_it_was_admitted() {
    let ms = Duration::from_millis;
    let cpu = |times, most| Speed::of_cpu(times, most).unwrap();
    let gpu = |times| Speed::of_gpu(times, 64, [Duration::from_micros(10); 3]).unwrap();
    // deadlines of two and a half to ten of the batches that are full; how many may be late
    for (speed, deadline, late) in [
        (cpu(vec![same(1, 0.01)], 1), ms(35), 0.05),
        // times that vary cannot be foretold: many expire while they wait, which costs the device nothing
        (cpu(vec![spread(1, 0.01)], 1), ms(100), 0.25),
        (cpu(vec![same(1, 0.01), same(16, 0.026)], 16), ms(60), 0.05),
        (gpu(vec![same(1, 0.002), same(64, 0.02)]), ms(50), 0.05),
        (gpu(vec![same(1, 0.002), same(64, 0.02)]), ms(80), 0.05),
    ] {
        let rate = 2.0 * speed.capacity();
        let model = ModelOptions { deadline, ..ModelOptions::default() };
        let outcome = simulate(&Scenario { speed, model, ..scenario(20) }, poisson(rate, 11)).unwrap();
        let in_vain = outcome.late as f64 / outcome.requests() as f64;
        println!("{deadline:?} at {rate:.0}/s: {:.3} fail, {in_vain:.3} late", outcome.failed());
        assert!((0.47..0.6).contains(&outcome.failed()), "{deadline:?} at {rate}: {} fail", outcome.failed());
        assert!(in_vain < late, "{deadline:?} at {rate}: {in_vain} were admitted in vain");
    }
}

#[test]
fn who_knows_how_many_are_in_flight_balances_better_than_who_takes_turns_and_that_better_than_chance() {
    let p99 = |balancing| {
        // of constant times turns would be as good as a queue that all share
        let speed = Speed::of_cpu(vec![spread(1, 0.01)], 1).unwrap();
        let scenario = Scenario { replicas: 4, balancing, speed, ..scenario(300) };
        simulate(&scenario, poisson(320.0, 9)).unwrap().latency(0.99)
    };
    let [fewest, in_turn, random] = [Balancing::LeastRequests, Balancing::RoundRobin, Balancing::Random].map(p99);
    assert!(fewest < in_turn && in_turn < random, "{fewest:?}, {in_turn:?}, {random:?}");
}

#[test]
fn a_decode_pool_that_is_too_small_is_what_limits() {
    let decode = |threads| {
        let decode = Some(Decode { threads, time: Duration::from_millis(15) });
        simulate(&Scenario { decode, ..scenario(60) }, poisson(60.0, 2)).unwrap()
    };
    let (one, two) = (decode(1), decode(2));
    // 0.9 of one thread
    assert!(one.decode_busy > 0.85 && two.decode_busy < 0.5, "{}, {}", one.decode_busy, two.decode_busy);
    assert!(one.latency(0.5) > two.latency(0.5) && two.latency(0.0) >= Duration::from_millis(25));
}

#[test]
fn the_same_scenario_has_the_same_outcome_to_the_nanosecond() {
    let speed = Speed::of_gpu(
        vec![spread(1, 0.001), spread(64, 0.01)],
        64,
        [Duration::from_micros(10), Duration::from_micros(4), Duration::from_micros(12)],
    );
    let scenario = Scenario {
        replicas: 3,
        devices: 2,
        balancing: Balancing::Random,
        speed: speed.unwrap().with_slowness(Slowness::new(Duration::from_millis(50), vec![1.0, 1.5]).unwrap()),
        decode: Some(Decode { threads: 8, time: Duration::from_micros(800) }),
        warm_up: Duration::ZERO,
        ..scenario(1)
    };
    let run = || simulate(&scenario, poisson(20_000.0, 4)).unwrap();
    assert_eq!(run(), run());
    // one of three servers stands for all
    assert!((6_000..7_400).contains(&run().answers()), "{}", run().answers());
}

#[test]
fn a_gpu_copies_the_next_batch_while_it_computes() {
    let micro = Duration::from_micros;
    let busy = |copy: u64| {
        let times = vec![same(1, 0.001), same(16, 0.001)];
        let speed = Speed::of_gpu(times, 16, [Duration::ZERO, Duration::ZERO, micro(copy)]).unwrap();
        let scenario = Scenario { speed, warm_up: Duration::from_secs(1), ..scenario(2) };
        simulate(&scenario, poisson(40_000.0, 4)).unwrap().busy
    };
    // 16 images are copied in 0.8 and in 2 ms
    assert!(busy(50) > 0.99, "{}", busy(50));
    close(busy(125), 0.5, 0.02);
}
