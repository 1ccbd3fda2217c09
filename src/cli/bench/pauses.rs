//! What a run takes behind a pause, as the device has between the requests of a light load: caches go cold, cores rest, clocks fall.
//! Not here: what a run is, and runs one behind the other (`measure`).

use std::time::Duration;

use super::measure::Times;

/// Under most light loads the device rests about as long.
pub(super) const PAUSES: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
];
const FEWEST_ROUNDS: usize = 3;

/// Has all pauses take turns, each followed by a run, for so long altogether; what the runs took, by pause.
///
/// `pause` lets so much time pass. `run` runs once and says what it took.
///
/// # Errors
/// The first of `run`.
pub(super) fn behind_pauses<E>(
    time: Duration,
    mut pause: impl FnMut(Duration),
    mut run: impl FnMut() -> Result<Duration, E>,
) -> Result<[Times; PAUSES.len()], E> {
    let mut times = PAUSES.map(|_| Times(vec![Vec::new()]));
    let (mut spent, mut rounds) = (Duration::ZERO, 0);
    // as behind the run before, and not behind what came before this
    run()?;
    while rounds < FEWEST_ROUNDS || spent < time {
        for (length, times) in PAUSES.into_iter().zip(&mut times) {
            pause(length);
            let took = run()?;
            spent += length + took;
            times.0[0].push(took.as_secs_f64());
        }
        rounds += 1;
    }
    Ok(times)
}

/// Lets time pass as a device's thread does that waits for work.
#[expect(clippy::disallowed_methods, reason = "this thread is to do nothing")]
pub(super) fn rest(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn pauses_take_turns_and_each_is_followed_by_a_run_that_counts() {
        let events = RefCell::new(Vec::new());
        let pause = |length| events.borrow_mut().push(length);
        let run = || {
            let last = events.borrow().last().copied().unwrap_or_default();
            events.borrow_mut().push(Duration::ZERO);
            Ok::<_, ()>(last + Duration::from_millis(1))
        };
        // a round of 144 ms of pauses and 149 ms of runs
        let times = behind_pauses(Duration::from_millis(900), pause, run).unwrap();
        for (length, times) in PAUSES.into_iter().zip(&times) {
            assert_eq!(times.0, [[(length + Duration::from_millis(1)).as_secs_f64(); 4]], "{length:?}");
        }
        let round = PAUSES.into_iter().flat_map(|length| [length, Duration::ZERO]);
        assert!(events.borrow()[1..].iter().copied().eq(round.cycle().take(8 * PAUSES.len())));
    }

    #[test]
    fn runs_that_take_all_the_time_still_get_three_rounds_and_a_failure_ends_them() {
        let times = behind_pauses(Duration::from_millis(1), |_| (), || Ok::<_, ()>(Duration::from_secs(9))).unwrap();
        assert!(times.iter().all(|times| times.runs() == 3));
        assert_eq!(behind_pauses(Duration::ZERO, |_| (), || Err("lost")), Err("lost"));
    }
}
