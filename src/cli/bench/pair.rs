//! Pairs: a model beside its baseline, round by round, since both take turns in each. Not here: which Swin a ConvNeXt's is (`model`).

use anyhow::anyhow;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::measure::median;
use super::report::{Case, right_from};
use crate::model;

/// A model and what it is measured against, by their names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) model: String,
    pub(super) baseline: String,
}

/// A pair in a batch.
pub(super) struct Comparison<'a> {
    pub(super) model: &'a Case,
    pub(super) baseline: &'a Case,
    /// Images per second of the model over those of the baseline, of each round.
    pub(super) ratios: Vec<f64>,
}

/// What "A ConvNet for the 2020s" says of a pair at 224 pixels, each of the ConvNeXt and of its Swin.
pub(super) struct Paper {
    model: &'static str,
    baseline: &'static str,
    /// Table 1: images per second of a V100, float32.
    v100: [f64; 2],
    /// Table 12: images per second of an A100, TF32 and channels last.
    a100: [f64; 2],
    /// Tables 1 and 12: top-1 in per cent, and on which ImageNet it was trained first.
    top_1: [f64; 2],
    trained: &'static str,
}

const PAPER: &[Paper] = &[
    Paper {
        model: "convnext_tiny",
        baseline: "swin_tiny",
        v100: [774.7, 757.9],
        a100: [1943.5, 1325.6],
        top_1: [82.1, 81.3],
        trained: "ImageNet-1k",
    },
    Paper {
        model: "convnext_small",
        baseline: "swin_small",
        v100: [447.1, 436.7],
        a100: [1275.3, 857.3],
        top_1: [83.1, 83.0],
        trained: "ImageNet-1k",
    },
    Paper {
        model: "convnext_base",
        baseline: "swin_base",
        v100: [292.1, 286.6],
        a100: [969.0, 662.8],
        top_1: [83.8, 83.5],
        trained: "ImageNet-1k",
    },
    Paper {
        model: "convnext_large",
        baseline: "swin_large",
        v100: [146.8, 145.0],
        a100: [611.5, 435.9],
        top_1: [86.6, 86.3],
        trained: "ImageNet-22k",
    },
];

impl Pair {
    /// The pairs that the paper has.
    pub(super) fn published() -> Vec<Self> {
        PAPER.iter().map(|paper| Self::new(paper.model, paper.baseline)).collect()
    }

    pub(super) fn new(model: &str, baseline: &str) -> Self {
        Self { model: model.to_owned(), baseline: baseline.to_owned() }
    }

    /// Among models, each with its baseline where that is among them too.
    pub(super) fn among(models: &[&str]) -> Vec<Self> {
        let pair = |model: &&str| {
            let baseline = model::baseline(model)?;
            models.contains(&baseline).then(|| Self::new(model, baseline))
        };
        models.iter().filter_map(pair).collect()
    }
}

/// `MODEL,BASELINE`.
pub(super) fn parse(text: &str) -> anyhow::Result<Pair> {
    match text.split(',').collect::<Vec<_>>()[..] {
        [model, baseline] if !model.is_empty() && !baseline.is_empty() && model != baseline => {
            Ok(Pair::new(model, baseline))
        }
        _ => Err(anyhow!("two different models are needed, as convnext_tiny,swin_tiny")),
    }
}

impl Paper {
    /// Its ratios, in words.
    pub(super) fn ratios(&self) -> String {
        let [v100, a100] = [self.v100, self.a100].map(|[model, baseline]| model / baseline);
        format!("{v100:.2}× on a V100, {a100:.2}× on an A100")
    }

    fn accuracies(&self) -> String {
        let [model, baseline] = self.top_1;
        format!("{model:.1} / {baseline:.1} %")
    }

    fn json(&self) -> Value {
        let of = |[model, baseline]: [f64; 2]| json!({"model": model, "baseline": baseline, "ratio": model / baseline});
        json!({
            "v100_fp32_images_per_second": of(self.v100),
            "a100_tf32_images_per_second": of(self.a100),
            "top_1_percent": {"model": self.top_1[0], "baseline": self.top_1[1], "pretrained_on": self.trained},
        })
    }
}

impl<'a> Comparison<'a> {
    /// The comparisons of pairs, in each batch.
    pub(super) fn all(pairs: &[Pair], cases: &'a [Case]) -> Vec<Self> {
        let mut all = Vec::new();
        for pair in pairs {
            for model in cases.iter().filter(|case| case.model == pair.model) {
                let same = |case: &&Case| case.model == pair.baseline && case.batch == model.batch;
                all.extend(cases.iter().find(same).map(|baseline| Self::of(model, baseline)));
            }
        }
        all
    }

    fn of(model: &'a Case, baseline: &'a Case) -> Self {
        let rates = [model, baseline].map(|case| case.times.rates(case.batch));
        let ratios = rates[0].iter().zip(&rates[1]).map(|(model, baseline)| model / baseline).collect();
        Self { model, baseline, ratios }
    }

    /// What the paper says of it: of these networks, and at this size.
    pub(super) fn paper(&self) -> Option<&'static Paper> {
        let [model, baseline] = [self.model, self.baseline].map(|case| case.published.then_some(case.model.as_str()));
        PAPER.iter().find(|paper| Some(paper.model) == model && Some(paper.baseline) == baseline)
    }

    /// The median over the rounds.
    pub(super) fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// The least and the most of a round.
    pub(super) fn spread(&self) -> [f64; 2] {
        [f64::min, f64::max].map(|of| self.ratios.iter().copied().reduce(of).unwrap_or(f64::NAN))
    }

    /// Multiply-accumulates of the model over those of the baseline.
    fn cost(&self) -> f64 {
        self.model.macs as f64 / self.baseline.macs as f64
    }

    pub(super) fn json(&self) -> Value {
        let [low, high] = self.spread();
        json!({
            "model": self.model.model,
            "baseline": self.baseline.model,
            "batch": self.model.batch,
            "ratio": self.ratio(),
            "ratio_low": low,
            "ratio_high": high,
            "ratios": self.ratios,
            "cost_ratio": self.cost(),
            "paper": self.paper().map(Paper::json),
        })
    }
}

/// The comparisons as a table, with what the figures are.
pub(super) fn table(comparisons: &[Comparison<'_>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["pair", "batch", "ratio", "rounds", "MACs", "in the paper", "top-1"]);
    for comparison in comparisons {
        let ([low, high], paper) = (comparison.spread(), comparison.paper());
        table.add_row([
            format!("{} / {}", comparison.model.model, comparison.baseline.model),
            comparison.model.batch.to_string(),
            format!("{:.2}×", comparison.ratio()),
            format!("{low:.2}–{high:.2}"),
            format!("{:.2}×", comparison.cost()),
            paper.map(Paper::ratios).unwrap_or_default(),
            paper.map(Paper::accuracies).unwrap_or_default(),
        ]);
    }
    right_from(&mut table, 1);
    format!(
        "{table}\n\nratio: images/s of the first over the second, round by round; median, least and most. Beside them the paper's ratios and accuracies.\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::report::Report;
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn a_pair_is_compared_in_each_batch_round_by_round() {
        let mut report = report(&[("a", "x", 1, 4.0), ("a", "x", 8, 6.0), ("b", "y", 1, 2.0), ("b", "y", 8, 4.0)]);
        // the baseline's last round is twice as slow
        report.cases[2].times.0[2] = vec![1.0 / 1.25];
        let all = Comparison::all(&[Pair::new("a", "b"), Pair::new("a", "none")], &report.cases);
        assert_eq!(all.len(), 2);
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
        assert!(near(all[0].ratio(), 2.0) && near(all[0].spread()[1], 4.0), "{:?}", all[0].ratios);
        assert!(near(all[1].ratio(), 1.5) && all[1].ratios.len() == 3, "{:?}", all[1].ratios);
        let text = table(&all);
        assert!(text.contains("a / b") && text.contains("2.00–4.00"), "{text}");
        assert_eq!(all[0].json()["paper"], Value::Null);
    }

    #[test]
    fn the_papers_pairs_are_those_that_models_know() {
        for pair in Pair::published() {
            assert_eq!(model::baseline(&pair.model), Some(&*pair.baseline));
        }
        let pairs = Pair::among(&["swin_tiny", "convnext_tiny", "convnext_base", "resnet"]);
        assert_eq!(pairs, [Pair::new("convnext_tiny", "swin_tiny")]);
    }

    #[test]
    fn the_papers_figures_stand_beside_its_own_networks_only() {
        let mut report = report(&[("convnext_tiny", "x", 1, 4.0), ("swin_tiny", "y", 1, 2.0)]);
        let ratios = |report: &Report| {
            let pairs = Pair::published();
            Comparison::all(&pairs, &report.cases)[0].paper().map(Paper::ratios)
        };
        assert_eq!(ratios(&report).as_deref(), Some("1.02× on a V100, 1.47× on an A100"));
        report.cases[1].published = false;
        assert_eq!(ratios(&report), None);
    }

    #[test]
    fn a_pair_is_two_different_models() {
        assert_eq!(parse("a,b").unwrap(), Pair::new("a", "b"));
        for wrong in ["a", "a,", ",b", "a,a", "a,b,c", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
