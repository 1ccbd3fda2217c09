//! How fast devices are: of cards as it was computed, of a machine as `convnext bench --json` measured it. Not here: what follows (`search`).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use crate::cli::budgets::{BATCHES, TABLES, computed};
use crate::service::simulation::{AfterPause, BatchTime, Quantiles, Slowness, Speed};

/// What a device's thread pays for a launch, for waiting, and for an image's answer; as the tests of the device's loop have it.
const LAUNCH: Duration = Duration::from_micros(10);
const ANSWER: Duration = Duration::from_micros(4);
/// An image of the tables: 224 × 224 pixels of three bytes.
const IMAGE_BYTES: f64 = 150_528.0;
/// Of what a link to a card could carry in one direction: a good copy, and one that shares its link.
const LINK_BEST: f64 = 0.8;
const LINK_WORST: f64 = 0.5;

/// A card of the tables that is planned with.
struct Card {
    /// As the flag has it.
    flag: &'static str,
    /// As the tables have it.
    name: &'static str,
    /// Of its PCI Express link of 16 lanes, one direction, bytes/s: generation 3 has 16 GB/s, 4 has 32, 5 has 64.
    link: f64,
}

const CARDS: [Card; 6] = [
    Card { flag: "t4", name: "T4", link: 16e9 },
    Card { flag: "l4", name: "L4", link: 32e9 },
    Card { flag: "a10", name: "A10", link: 32e9 },
    Card { flag: "a100", name: "A100-80", link: 32e9 },
    Card { flag: "rtx4090", name: "RTX 4090", link: 32e9 },
    Card { flag: "h100", name: "H100", link: 64e9 },
];

/// A device with a speed.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The card, or the machine's device.
    pub(super) device: String,
    /// Where the times are from.
    pub(super) times: Times,
    pub(super) speed: Speed,
}

/// Where times are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// The shortest that was computed.
    Shortest,
    /// The longest that was computed.
    Longest,
    /// Of a benchmark.
    Measured,
}

impl Times {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shortest => "computed, shortest",
            Self::Longest => "computed, longest",
            Self::Measured => "measured",
        }
    }
}

/// The two ends of what was computed of a network on a card.
///
/// # Errors
/// When nothing was computed of it, naming what was.
pub(super) fn computed_cases(model: &str, flag: &str, max_batch: usize) -> anyhow::Result<[Case; 2]> {
    let names = |all: &mut dyn Iterator<Item = &'static str>| all.collect::<Vec<_>>().join(", ");
    let table = TABLES.iter().find(|(name, _)| *name == model).map(|(_, table)| table);
    let table = table.with_context(|| {
        let known = names(&mut TABLES.iter().map(|(name, _)| *name));
        format!("--model {model}: nothing was computed of it; there are {known}. With --bench FILE any model goes that was measured")
    })?;
    let card = CARDS.iter().find(|card| card.flag == flag).with_context(|| {
        let known = names(&mut CARDS.iter().map(|card| card.flag));
        format!("--card {flag}: nothing was computed of it; there are {known}")
    })?;
    let case = |times: Times| {
        let is_best = times == Times::Shortest;
        let of_batch = |images: usize| {
            let (low, high) = computed(table, card.name, images)
                .with_context(|| format!("{model} on {} in batches of {images} was not computed", card.name))?;
            anyhow::Ok(BatchTime::constant(images, if is_best { low } else { high } / 1e6))
        };
        let known = BATCHES.into_iter().map(of_batch).collect::<Result<Vec<_>, _>>()?;
        let link = card.link * if is_best { LINK_BEST } else { LINK_WORST };
        let copy = Duration::from_secs_f64(IMAGE_BYTES / link);
        let speed = Speed::of_gpu(known, max_batch, [LAUNCH, ANSWER, copy])
            .map_err(|error| anyhow!("--max-batch {max_batch}: {error}"))?;
        anyhow::Ok(Case { device: card.name.to_owned(), times, speed })
    };
    Ok([case(Times::Shortest)?, case(Times::Longest)?])
}

/// What `convnext bench --json` measured of a model.
///
/// # Errors
/// When the file is no such report, or has not this model in enough batch sizes.
pub(super) fn measured_case(path: &Path, model: Option<&str>, max_batch: usize) -> anyhow::Result<(String, Case)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("--bench {}", path.display()))?;
    of_report(&text, model, max_batch).with_context(|| format!("--bench {}", path.display()))
}

fn of_report(text: &str, model: Option<&str>, max_batch: usize) -> anyhow::Result<(String, Case)> {
    let report: Value = serde_json::from_str(text).context("this is no JSON")?;
    let no_report = || anyhow!("this is no report of `convnext bench --json`");
    let device = report["device"].as_str().ok_or_else(no_report)?;
    let results = report["results"].as_array().ok_or_else(no_report)?;
    let mut models: Vec<&str> = results.iter().filter_map(|result| result["model"].as_str()).collect();
    models.dedup();
    let model = match (model, &models[..]) {
        (Some(named), _) if models.contains(&named) => named,
        (None, [only]) => only,
        _ => bail!("--model NAME is needed, one of those that were measured: {}", models.join(", ")),
    };
    let quantiles = |of: &Value| -> Option<Quantiles> {
        let known: Option<Vec<f64>> =
            of["quantiles_ms"].as_array()?.iter().map(|ms| Some(ms.as_f64()? / 1e3)).collect();
        known?.try_into().ok()
    };
    let time = |result: &Value| {
        let images = usize::try_from(result["batch"].as_u64()?).ok()?;
        Some(BatchTime { images, quantiles: quantiles(result)? })
    };
    let of_model = results.iter().filter(|result| result["model"] == model);
    let times = of_model.map(time).collect::<Option<Vec<_>>>().ok_or_else(no_report)?;
    let speed = if device.starts_with("cuda") {
        // copies, launches and answers are in what was measured
        Speed::of_gpu(times, max_batch, [Duration::ZERO; 3])
    } else {
        Speed::of_cpu(times, max_batch)
    };
    let speed = speed.map_err(|error| {
        anyhow!("{error}: measure with `convnext bench --batch 1,2,4,…,{max_batch} --pauses --json`, or plan with a smaller --max-batch")
    })?;
    let single = results.iter().find(|result| result["model"] == model && result["batch"] == 1);
    let pauses = single.and_then(|result| result["after_pauses"].as_array()).map_or(&[][..], Vec::as_slice);
    let after = |one: &Value| Some(AfterPause { pause: one["pause_ms"].as_f64()? / 1e3, quantiles: quantiles(one)? });
    let pauses = pauses.iter().map(after).collect::<Option<Vec<_>>>().ok_or_else(no_report)?;
    let speed = speed.with_pauses(pauses)?;
    let speed = match &report["slowness"] {
        Value::Null => speed,
        told => speed.with_slowness(slowness(told).context("its slowness is none that can be")?),
    };
    Ok((model.to_owned(), Case { device: device.to_owned(), times: Times::Measured, speed }))
}

/// How much longer all batches took, one stretch of so many seconds after the other.
fn slowness(told: &Value) -> Option<Slowness> {
    let every = Duration::try_from_secs_f64(told["every_s"].as_f64()?).ok()?;
    let factors: Option<Vec<f64>> = told["factors"].as_array()?.iter().map(Value::as_f64).collect();
    Slowness::new(every, factors?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::simulation::SHARES;

    #[test]
    fn all_cards_have_two_ends_and_the_best_is_faster() {
        for (model, _) in TABLES {
            for card in &CARDS {
                let [shortest, longest] = computed_cases(model, card.flag, 64).unwrap();
                assert!(shortest.speed.capacity() > longest.speed.capacity(), "{model} on {}", card.name);
            }
        }
        let unknown = computed_cases("resnet", "t4", 64).unwrap_err().to_string();
        assert!(unknown.contains("convnext_tiny, convnext_base, swin_tiny"), "{unknown}");
        let unknown = computed_cases("swin_tiny", "v100", 64).unwrap_err().to_string();
        assert!(unknown.contains("t4, l4, a10"), "{unknown}");
        let too_large = computed_cases("swin_tiny", "t4", 512).unwrap_err().to_string();
        assert!(too_large.contains("up to 256"), "{too_large}");
    }

    #[test]
    fn a_benchmark_with_pauses_makes_a_light_load_slower_and_a_wrong_one_is_refused() {
        let report = |pause: f64, ms: f64| {
            let after = json!([{"pause_ms": pause, "quantiles_ms": vec![ms; SHARES.len()]}]);
            let result =
                json!({"model": "a", "batch": 1, "quantiles_ms": vec![2.0; SHARES.len()], "after_pauses": after});
            of_report(&json!({"device": "cpu", "results": [result]}).to_string(), None, 1)
        };
        let [slower, plain] = [3.0, 2.0].map(|ms| report(10.0, ms).unwrap().1.speed);
        assert!(slower != plain && (slower.capacity() - plain.capacity()).abs() < 1e-9);
        assert!(report(-1.0, 3.0).unwrap_err().to_string().contains("pause"));
    }

    #[test]
    fn a_machine_that_is_slow_at_times_can_do_less_and_a_wrong_slowness_is_refused() {
        let report = |slowness: Value| {
            let result = json!({"model": "a", "batch": 1, "quantiles_ms": vec![2.0; SHARES.len()]});
            let report = json!({"device": "cpu", "results": [result], "slowness": slowness});
            of_report(&report.to_string(), None, 1).map(|(_, case)| case.speed.capacity())
        };
        let capacity = |slowness| report(slowness).unwrap();
        assert!((capacity(Value::Null) - 500.0).abs() < 1e-9);
        assert!((capacity(json!({"every_s": 0.5, "factors": [1.0, 2.0]})) - 375.0).abs() < 1e-9);
        for wrong in [
            json!({"every_s": 0.5, "factors": []}),
            json!({"every_s": 0.0, "factors": [1.0]}),
            json!({"every_s": -0.5, "factors": [1.0]}),
            json!({"every_s": 0.5, "factors": [1.0, -2.0]}),
            json!({"every_s": 0.5, "factors": ["1"]}),
            json!({"factors": [1.0]}),
            json!(2.0),
        ] {
            assert!(format!("{:#}", report(wrong.clone()).unwrap_err()).contains("slowness"), "{wrong}");
        }
    }

    #[test]
    fn a_benchmark_gives_its_models_and_says_what_it_lacks() {
        let result = |model: &str, batch: usize, ms: f64| json!({"model": model, "batch": batch, "quantiles_ms": vec![ms; SHARES.len()]});
        let results = [result("a", 1, 2.0), result("a", 8, 8.0), result("b", 1, 3.0)];
        let report = json!({"device": "cpu", "results": results}).to_string();
        let (name, case) = of_report(&report, Some("a"), 8).unwrap();
        assert_eq!((&*name, &*case.device, case.times), ("a", "cpu", Times::Measured));
        assert!((case.speed.capacity() - 1000.0).abs() < 1e-6);
        let error = |model, max_batch| format!("{:#}", of_report(&report, model, max_batch).unwrap_err());
        assert!(error(None, 8).contains("a, b"), "{}", error(None, 8));
        assert!(error(Some("b"), 8).contains("times are known up to 1"), "{}", error(Some("b"), 8));
        assert!(of_report("{}", None, 1).is_err() && of_report("no", None, 1).is_err());
    }
}
