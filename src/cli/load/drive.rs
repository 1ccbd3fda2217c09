//! The two loops: clients that each wait for their answer before they ask again (closed), and requests that come when they come, whatever became of
//! those before (open). Not here: what is sent (`target`), when requests are due (`arrivals`).
//!
//! In the open loop the latency of a request counts from when it was due. A server that stalls for a second delays all that were due in that second; a
//! generator that waited with it would have asked once, and call that one slow answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::arrivals::Arrivals;
use super::record::{Outcome, Record};

/// Arrivals that the thread of the clock is ahead of who sends them, at most. It is behind nothing: they keep the time at which they were due.
const AHEAD: usize = 1024;
/// A client that got no answer at all asks again after this long: whom nobody answers would only spin.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// What is measured of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: Instant,
    /// Requests until then are sent and not counted.
    pub(super) warm_up: Duration,
    /// Behind the warm-up.
    pub(super) measured: Duration,
    /// From when a request was due to its answer, at most.
    pub(super) timeout: Duration,
}

impl Window {
    fn end(&self) -> Instant {
        self.start + self.warm_up + self.measured
    }

    /// Whether what happens then is counted.
    fn holds(&self, at: Instant) -> bool {
        self.start + self.warm_up <= at && at < self.end()
    }
}

/// What all tasks write to.
#[derive(Clone)]
struct Notes {
    window: Window,
    record: Arc<Mutex<Record>>,
}

impl Notes {
    fn begin(window: Window, record: Record) -> Self {
        Self { window, record: Arc::new(Mutex::new(record)) }
    }

    fn write(&self, note: impl FnOnce(&mut Record)) {
        note(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A request that was due then has ended now.
    fn ended(&self, due: Instant, outcome: Outcome) {
        let now = Instant::now();
        self.write(|record| {
            if outcome.is_success() && self.window.holds(now) {
                record.answered_meanwhile += 1;
            }
            if self.window.holds(due) {
                record.ended(now - due, outcome);
            }
        });
    }

    fn finish(self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// So many clients, each of which asks again once it is answered, until the time is over. The record goes on from the one that is given.
pub(super) async fn closed<F>(
    clients: usize,
    window: Window,
    record: Record,
    send: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> Record
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let (notes, numbers, mut tasks) = (Notes::begin(window, record), Arc::new(AtomicU64::new(0)), JoinSet::new());
    for _ in 0..clients {
        let (notes, numbers, send) = (notes.clone(), Arc::clone(&numbers), send.clone());
        tasks.spawn(async move {
            loop {
                let due = Instant::now();
                if due >= window.end() {
                    return;
                }
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let outcome = timeout_at(due + window.timeout, send(number)).await.unwrap_or(Outcome::TimedOut);
                let is_failure = matches!(outcome, Outcome::NoAnswer(_));
                notes.ended(due, outcome);
                if is_failure {
                    sleep(AFTER_FAILURE).await;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    notes.finish()
}

/// A request whenever one is due. Where `most` are in flight already it waits for one of them to end, which is counted and part of its latency.
/// The record goes on from the one that is given.
pub(super) async fn open<F>(
    mut due: Receiver<Instant>,
    most: usize,
    window: Window,
    record: Record,
    send: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> Record
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let (notes, free, mut tasks) = (Notes::begin(window, record), Arc::new(Semaphore::new(most)), JoinSet::new());
    let mut number = 0;
    while let Some(due) = due.recv().await {
        while tasks.try_join_next().is_some() {} // what has ended is forgotten
        let place = Arc::clone(&free).try_acquire_owned();
        if window.holds(due) {
            let (is_late, lag) = (place.is_err(), due.elapsed());
            notes.write(|record| {
                record.late += u64::from(is_late);
                record.lag = record.lag.max(lag);
            });
        }
        let (notes, free, send) = (notes.clone(), Arc::clone(&free), send.clone());
        tasks.spawn(async move {
            let work = async {
                let _place = match place {
                    Ok(place) => Some(place),
                    Err(_) => free.acquire_owned().await.ok(),
                };
                send(number).await
            };
            let outcome = timeout_at(due + window.timeout, work).await.unwrap_or(Outcome::TimedOut);
            notes.ended(due, outcome);
        });
        number += 1;
    }
    while tasks.join_next().await.is_some() {}
    notes.finish()
}

/// The instants at which requests are due, each when it has come. A thread of its own waits for them: the runtime's timers are as coarse as a
/// millisecond, which would be added to every latency.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn clock(arrivals: Arrivals, window: Window) -> std::io::Result<Receiver<Instant>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let run = move || {
        for due in arrivals.map(|due| window.start + due).take_while(|due| *due < window.end()) {
            #[expect(clippy::disallowed_methods, reason = "this thread does nothing but to be on time")]
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.blocking_send(due).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("arrivals".to_owned()).spawn(run)?;
    Ok(receiver)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::arrivals::Spacing;
    use super::*;

    const RATE: u64 = 100;

    fn window(measured: u64) -> Window {
        let (warm_up, timeout) = (Duration::ZERO, Duration::from_secs(30));
        Window { start: Instant::now(), warm_up, measured: Duration::from_secs(measured), timeout }
    }

    fn none() -> Record {
        Record::new().unwrap()
    }

    /// Even arrivals by the paused clock.
    fn arrivals(window: Window) -> Receiver<Instant> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let due = Arrivals::new(RATE as f64, Spacing::Even, 0).map(|due| window.start + due);
            for due in due.take_while(|due| *due < window.end()) {
                tokio::time::sleep_until(due).await;
                sender.send(due).await.unwrap();
            }
        });
        receiver
    }

    /// A server that stalls for the first second and then answers in 2 ms.
    async fn stalls(start: Instant) -> Outcome {
        tokio::time::sleep_until(start + Duration::from_secs(1)).await;
        sleep(Duration::from_millis(2)).await;
        Outcome::Status(200)
    }

    fn ms(record: &Record, quantile: f64) -> f64 {
        record.latency(quantile).as_secs_f64() * 1e3
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_shows_in_the_latencies_of_all_that_were_due_in_it() {
        let window = window(2);
        let record = open(arrivals(window), 1000, window, none(), move |_| stalls(window.start)).await;
        assert_eq!((record.requests, record.late), (2 * RATE, 0));
        // half of the requests were due in the stall, evenly: three of four waited less than 502 ms, nine of ten less than 802
        for (quantile, expected) in [(0.4, 2.0), (0.75, 502.0), (0.9, 802.0), (1.0, 1002.0)] {
            assert!((ms(&record, quantile) - expected).abs() < 12.0, "{quantile}: {} ms", ms(&record, quantile));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_few_places_are_counted_and_do_not_hide_the_stall() {
        let window = window(2);
        // one place: the next are sent one by one once the stall is over
        let record = open(arrivals(window), 1, window, none(), move |_| stalls(window.start)).await;
        assert_eq!(record.requests, 2 * RATE);
        assert!((100..=130).contains(&record.late), "{}", record.late);
        assert!(ms(&record, 0.7) > 400.0 && ms(&record, 1.0) >= 1002.0, "{}", ms(&record, 0.7));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_wait_for_their_answer_ask_once_in_a_stall() {
        let window = window(2);
        let record = closed(1, window, none(), move |_| stalls(window.start)).await;
        assert!((ms(&record, 1.0) - 1002.0).abs() < 2.0);
        // one slow answer of hundreds: this is why a closed loop says nothing of a stall
        assert!(ms(&record, 0.99) < 5.0 && record.requests > 300, "{}", record.requests);
        assert_eq!(record.answered_meanwhile, record.requests - 1, "the last one came after the end");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_in_time_counts_with_the_time_that_it_waited() {
        let window = Window { timeout: Duration::from_millis(300), ..window(1) };
        let record = open(arrivals(window), 1000, window, none(), |_| std::future::pending()).await;
        assert_eq!((record.requests, record.timed_out), (RATE, RATE));
        assert!((ms(&record, 0.5) - 300.0).abs() < 2.0 && record.failed() == RATE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_warm_up_is_sent_and_not_counted() {
        let seen = Arc::new(AtomicU64::new(0));
        let window = Window { warm_up: Duration::from_secs(1), ..window(1) };
        let counted = Arc::clone(&seen);
        let send = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Outcome::Status(503))
        };
        let record = open(arrivals(window), 10, window, none(), send).await;
        assert_eq!((seen.load(Ordering::Relaxed), record.requests), (2 * RATE, RATE));
        assert_eq!((record.failed(), record.answered_meanwhile), (RATE, 0));
    }

    #[test]
    fn the_thread_of_the_clock_is_on_time_and_ends_with_the_window() {
        let window = Window { measured: Duration::from_millis(200), ..window(0) };
        let mut due = clock(Arrivals::new(50.0, Spacing::Even, 0), window).unwrap();
        let mut count = 0;
        while let Some(due) = due.blocking_recv() {
            assert!(Instant::now() >= due);
            count += 1;
        }
        assert_eq!(count, 10);
    }
}
