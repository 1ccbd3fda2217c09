//! Logits to scores and their order. Not here: the names of the classes (`answer`).

use crate::checkpoint::ScoreFunction;

/// Whether a model computed numbers.
pub(super) fn are_finite(logits: &[f32]) -> bool {
    logits.iter().all(|logit| logit.is_finite())
}

/// The `top_k` classes by falling score, ties in the order of the classes. None when a logit is not finite.
#[must_use]
pub(super) fn rank(function: ScoreFunction, logits: &[f32], top_k: usize) -> Option<Vec<(usize, f32)>> {
    if !are_finite(logits) {
        return None;
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    let top_k = top_k.min(order.len());
    if top_k < order.len() {
        order.select_nth_unstable_by(top_k, by_logit);
        order.truncate(top_k);
    }
    order.sort_unstable_by(by_logit);
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - max).exp()).sum();
    let score = |x: f32| match function {
        ScoreFunction::Softmax => (f64::from(x - max).exp() / sum) as f32,
        ScoreFunction::Sigmoid => (1.0 / (1.0 + f64::from(-x).exp())) as f32,
        ScoreFunction::None => x,
    };
    Some(order.into_iter().map(|class| (class, score(logits[class]))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [1.0, 3.0, -2.0, 3.0];

    #[test]
    fn the_best_come_first_and_ties_in_the_order_of_the_classes() {
        let classes =
            |k| rank(ScoreFunction::None, &LOGITS, k).unwrap().into_iter().map(|(c, _)| c).collect::<Vec<_>>();
        assert_eq!(classes(4), [1, 3, 0, 2]);
        assert_eq!(classes(2), [1, 3]);
        assert_eq!(classes(9), [1, 3, 0, 2], "more than there are is clamped");
    }

    #[test]
    fn softmax_scores_sum_to_one_and_survive_large_logits() {
        let ranked = rank(ScoreFunction::Softmax, &[1000.0, 1001.0, -3000.0], 3).unwrap();
        let sum: f32 = ranked.iter().map(|(_, score)| score).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        // 1 / (1 + e⁻¹)
        assert!((ranked[0].1 - 0.731_058_6).abs() < 1e-6, "{ranked:?}");
    }

    #[test]
    fn sigmoid_scores_each_class_by_itself() {
        let ranked = rank(ScoreFunction::Sigmoid, &[0.0, 2.0], 2).unwrap();
        assert_eq!(ranked[1], (0, 0.5));
        assert!((ranked[0].1 - 0.880_797_1).abs() < 1e-6);
    }

    #[test]
    fn a_logit_that_is_not_finite_is_never_a_score() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(rank(ScoreFunction::Softmax, &[0.0, bad], 1), None);
        }
    }
}
