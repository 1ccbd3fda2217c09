//! What was measured, as a table or as JSON: medians of rounds, ratios round by round.

use serde_json::{Value, json};

use crate::Call;
use crate::clients::Asked;

/// One load of one round, on ours and on the other.
pub(crate) struct Turn {
    pub(crate) call: Call,
    pub(crate) clients: usize,
    pub(crate) round: usize,
    pub(crate) ours: Asked,
    pub(crate) theirs: Asked,
}

#[derive(Default)]
pub(crate) struct Report(Vec<Turn>);

/// The least, the median, the most.
struct Spread([f64; 3]);

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self([values[0], values[values.len() / 2], values[values.len() - 1]])
    }

    fn median(&self) -> f64 {
        self.0[1]
    }

    fn json(&self) -> Value {
        let [least, median, most] = self.0;
        json!({ "median": median, "min": least, "max": most })
    }
}

impl Report {
    pub(crate) fn add(&mut self, turn: Turn) {
        eprintln!(
            "{} {} clients, round {}: {:.0} and {:.0} requests/s, {:.3}; p50 {:.0} and {:.0} µs; processor {:.0} and {:.0} µs",
            turn.call.name(),
            turn.clients,
            turn.round,
            turn.ours.per_second,
            turn.theirs.per_second,
            turn.ours.per_second / turn.theirs.per_second,
            turn.ours.p50,
            turn.theirs.p50,
            turn.ours.cpu,
            turn.theirs.cpu
        );
        self.0.push(turn);
    }

    /// Loads in the order in which they were first measured, each with its turns.
    fn loads(&self) -> Vec<(Call, usize, Vec<&Turn>)> {
        let mut loads: Vec<(Call, usize, Vec<&Turn>)> = Vec::new();
        for turn in &self.0 {
            match loads.iter_mut().find(|(call, clients, _)| (*call, *clients) == (turn.call, turn.clients)) {
                Some((_, _, turns)) => turns.push(turn),
                None => loads.push((turn.call, turn.clients, vec![turn])),
            }
        }
        loads
    }

    pub(crate) fn print_table(&self) {
        println!(
            "| call | clients | requests/s: ours | theirs | ours / theirs, by round | p50: ours | theirs | more | \
             p99: ours | theirs | processor: ours | theirs |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
        for (call, clients, turns) in self.loads() {
            let of = |value: fn(&Turn) -> f64| Spread::of(turns.iter().map(|turn| value(turn)));
            let median = |value: fn(&Turn) -> f64| of(value).median();
            let Spread([least, ratio, most]) = of(|turn| turn.ours.per_second / turn.theirs.per_second);
            println!(
                "| {} | {clients} | {:.0} | {:.0} | **{ratio:.2}** ({least:.2} to {most:.2}) | {:.0} µs | {:.0} µs | {:+.0} µs | \
                 {:.0} µs | {:.0} µs | {:.0} µs | {:.0} µs |",
                call.name(),
                median(|turn| turn.ours.per_second),
                median(|turn| turn.theirs.per_second),
                median(|turn| turn.ours.p50),
                median(|turn| turn.theirs.p50),
                median(|turn| turn.ours.p50 - turn.theirs.p50),
                median(|turn| turn.ours.p99),
                median(|turn| turn.theirs.p99),
                median(|turn| turn.ours.cpu),
                median(|turn| turn.theirs.cpu),
            );
        }
        println!();
        for fall in self.falls() {
            let percent = |name: &str| (fall[name]["median"].as_f64().unwrap_or_default() - 1.0) * 100.0;
            println!(
                "{}, from 16 to {} clients: ours {:+.1} %, theirs {:+.1} %",
                fall["call"].as_str().unwrap_or_default(),
                fall["clients"],
                percent("ours"),
                percent("theirs")
            );
        }
    }

    pub(crate) fn print_json(&self) {
        let loads = self.loads();
        let load = |(call, clients, turns): &(Call, usize, Vec<&Turn>)| {
            let of = |value: fn(&Turn) -> f64| Spread::of(turns.iter().map(|turn| value(turn))).json();
            json!({
                "call": call.name(), "clients": clients, "rounds": turns.len(),
                "ratio": of(|turn| turn.ours.per_second / turn.theirs.per_second),
                "added_p50_us": of(|turn| turn.ours.p50 - turn.theirs.p50),
                "ours": {
                    "per_second": of(|turn| turn.ours.per_second), "p50_us": of(|turn| turn.ours.p50),
                    "p99_us": of(|turn| turn.ours.p99), "cpu_us": of(|turn| turn.ours.cpu),
                },
                "theirs": {
                    "per_second": of(|turn| turn.theirs.per_second), "p50_us": of(|turn| turn.theirs.p50),
                    "p99_us": of(|turn| turn.theirs.p99), "cpu_us": of(|turn| turn.theirs.cpu),
                },
            })
        };
        let loads: Vec<Value> = loads.iter().map(load).collect();
        println!("{:#}", json!({ "engine": "null (no network is computed)", "loads": loads, "falls": self.falls() }));
    }

    /// Of each call the requests per second of the most clients over those of 16, round by round.
    fn falls(&self) -> Vec<Value> {
        let loads = self.loads();
        let mut falls = Vec::new();
        for (call, _, few) in loads.iter().filter(|(_, clients, _)| *clients == 16) {
            let Some((_, clients, many)) =
                loads.iter().filter(|(other, clients, _)| other == call && *clients > 16).max_by_key(|load| load.1)
            else {
                continue;
            };
            let of = |value: fn(&Turn) -> f64| {
                Spread::of(few.iter().zip(many).map(|(few, many)| value(many) / value(few))).json()
            };
            falls.push(json!({
                "call": call.name(), "clients": clients,
                "ours": of(|turn| turn.ours.per_second), "theirs": of(|turn| turn.theirs.per_second),
            }));
        }
        falls
    }
}
