//! What is worse than before, and which budgets are kept. Not here: where figures come from.

use super::row::Row;
use super::table_of;

/// A bound that a network's figure must not pass, in a batch where it holds.
pub(super) struct Budget {
    pub(super) name: &'static str,
    /// Figure and bound; None where the budget says nothing.
    of: fn(&Row) -> Option<(f64, f64)>,
}

/// The budgets. Those that are not kept yet are listed on the page; their figures may only fall, as all may.
pub(super) const BUDGETS: [Budget; 6] = [
    Budget {
        name: "launches of ConvNeXt-T ≤ 60",
        of: |row| (row.network == "convnext_tiny").then_some((row.launches as f64, 60.0)),
    },
    Budget {
        name: "bytes of memory ≤ 1.05 × those of whole operations",
        of: |row| Some((row.unique_bytes as f64 / row.fused_bytes.max(1) as f64, 1.05)),
    },
    Budget {
        name: "bytes of L2 sectors ≤ 4 × those of whole operations, from batch 8 on",
        of: |row| (row.batch >= 8).then_some((32.0 * row.sectors as f64 / row.fused_bytes.max(1) as f64, 4.0)),
    },
    Budget {
        name: "wavefronts that bank conflicts cost in loops = 0",
        of: |row| Some((row.loop_conflicts as f64, 0.0)),
    },
    Budget {
        name: "launches with fewer blocks than half the multiprocessors = 0, at batch 1",
        of: |row| (row.batch == 1).then_some((row.few_blocks as f64, 0.0)),
    },
    Budget {
        name: "launches that keep less than 70 % of the multiprocessors busy = 0, from batch 8 on",
        of: |row| (row.batch >= 8).then_some((row.idle as f64, 0.0)),
    },
];

impl Budget {
    /// Whether it says anything about a network's row.
    pub(super) fn applies(&self, row: &Row) -> bool {
        (self.of)(row).is_some()
    }

    /// The figure of a network's row that passes the budget.
    pub(super) fn passed(&self, row: &Row) -> Option<f64> {
        (self.of)(row).filter(|(figure, bound)| figure > bound).map(|(figure, _)| figure)
    }
}

type Figure = fn(&Row) -> f64;

/// Figures of a row that may only fall.
const FIGURES: [(&str, Figure); 10] = [
    ("launches", |row| row.launches as f64),
    ("unique bytes", |row| row.unique_bytes as f64),
    ("bytes read again", |row| row.reread_bytes as f64),
    ("sectors", |row| row.sectors as f64),
    ("conflicts", |row| row.conflicts as f64),
    ("conflicts in loops", |row| row.loop_conflicts as f64),
    ("launches of few blocks", |row| if row.batch == 1 { row.few_blocks as f64 } else { 0.0 }),
    ("launches under 70 % busy", |row| if row.batch >= 8 { row.idle as f64 } else { 0.0 }),
    ("µs at least", |row| row.low_us),
    ("µs at most", |row| row.high_us),
];

/// What a comparison found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// Figures that are worse, and budgets that were kept and are not.
    pub(super) worse: Vec<String>,
    /// Rows that only one of both has.
    pub(super) other: Vec<String>,
    /// How many figures are better.
    pub(super) better: usize,
}

/// Compares what is committed with what was counted; `spilling` are kernels that spill.
pub(super) fn compare(committed: &[Row], counted: &[Row], spilling: &[String]) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.worse.extend(spilling.iter().map(|kernel| format!("{kernel} spills registers")));
    for row in counted {
        let Some(before) = committed.iter().find(|before| before.key() == row.key()) else {
            let table = table_of(&row.network);
            verdict.other.push(format!("{}: not in {}", place(row), table.display()));
            continue;
        };
        for (name, figure) in FIGURES {
            let (old, new) = (figure(before), figure(row));
            if new > old {
                verdict.worse.push(format!("{}: {name} {old} before, {new} now", place(row)));
            }
            verdict.better += usize::from(new < old);
        }
        if row.is_network() {
            for budget in &BUDGETS {
                if let (None, Some(figure)) = (budget.passed(before), budget.passed(row)) {
                    verdict.worse.push(format!(
                        "{}: {:.3}, and the budget was kept: {}",
                        place(row),
                        figure,
                        budget.name
                    ));
                }
            }
        }
    }
    for before in committed {
        if !counted.iter().any(|row| row.key() == before.key()) {
            verdict.other.push(format!("{}: no longer there", place(before)));
        }
    }
    verdict
}

/// Which row it is, for people.
fn place(row: &Row) -> String {
    let Row { network, card, batch, operation, .. } = row;
    let kernels = if row.is_network() { String::new() } else { format!(" ({})", row.kernels) };
    format!("{network}, {card}, batch {batch}, {operation}{kernels}")
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::network;
    use super::*;

    #[test]
    fn what_is_the_same_is_neither_worse_nor_better() {
        assert_eq!(compare(&[network()], &[network()], &[]), Verdict::default());
    }

    #[test]
    fn a_figure_that_grew_is_named_with_its_place() {
        let now = Row { conflicts: 3, low_us: 12.2, ..network() };
        let verdict = compare(&[network()], &[now], &["k on sm_75".to_owned()]);
        assert_eq!(
            verdict.worse,
            ["k on sm_75 spills registers", "convnext_tiny, T4, batch 8, all: conflicts 2 before, 3 now"]
        );
        assert_eq!(verdict.better, 1);
    }

    #[test]
    fn a_budget_that_was_kept_must_be_kept() {
        let now = Row { unique_bytes: 1051, launches: 61, ..network() };
        let worse = compare(&[network()], std::slice::from_ref(&now), &[]).worse.join("\n");
        assert!(worse.contains("1.051, and the budget was kept: bytes of memory"), "{worse}");
        assert!(worse.contains("61.000, and the budget was kept: launches of ConvNeXt-T"), "{worse}");
        // one that was passed before is held by its figure
        let more = Row { unique_bytes: 1052, ..now.clone() };
        let verdict = compare(&[now], &[more], &[]);
        assert_eq!(verdict.worse, ["convnext_tiny, T4, batch 8, all: unique bytes 1051 before, 1052 now"]);
    }

    #[test]
    fn budgets_hold_where_they_are_meant_to() {
        let few = Row { few_blocks: 3, idle: 3, sectors: 1000, ..network() };
        let passed = |row: &Row| BUDGETS.iter().filter(|budget| budget.passed(row).is_some()).count();
        assert_eq!((passed(&network()), passed(&few)), (0, 2));
        assert_eq!(passed(&Row { batch: 1, ..few.clone() }), 1);
        assert_eq!(passed(&Row { network: "swin_tiny".to_owned(), launches: 90, ..network() }), 0);
    }

    #[test]
    fn rows_that_come_and_go_are_named() {
        let new = Row { operation: "stem".to_owned(), kernels: "1×k 4×1×1".to_owned(), ..network() };
        let verdict = compare(&[network()], &[new], &[]);
        assert_eq!(
            verdict.other,
            [
                "convnext_tiny, T4, batch 8, stem (1×k 4×1×1): not in kernels/budgets/convnext_tiny.tsv",
                "convnext_tiny, T4, batch 8, all: no longer there"
            ]
        );
    }
}
