//! What the published networks take on cards, computed before any card ran them (`kernels/budgets`). Not here: how it was computed (`cargo xtask budgets`).

/// The tables, by the network. They are in f16, of images of 224 × 224.
pub(super) const TABLES: [(&str, &str); 3] = [
    ("convnext_tiny", include_str!("../../kernels/budgets/convnext_tiny.tsv")),
    ("convnext_base", include_str!("../../kernels/budgets/convnext_base.tsv")),
    ("swin_tiny", include_str!("../../kernels/budgets/swin_tiny.tsv")),
];
/// The batch sizes of the tables.
pub(super) const BATCHES: [usize; 4] = [1, 8, 64, 256];

/// The interval of a card that is named as in the tables, for the whole of a network: µs, from and to.
pub(super) fn computed(table: &str, model: &str, batch: usize) -> Option<(f64, f64)> {
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next()?;
    let column = |name: &str| head.iter().position(|column| *column == name);
    let [card, size, operation] = [column("card")?, column("batch")?, column("operation")?];
    let [low, high] = [column("low_us")?, column("high_us")?];
    let words = |name: &str| name.split([' ', '-']).map(str::to_owned).collect::<Vec<_>>();
    let model = words(model);
    // of an A100 the table has the one of 80 GB
    let has = |word: &String| model.iter().any(|own| own == word || own.strip_suffix("GB") == Some(word));
    let wanted =
        |row: &Vec<&str>| row[size].parse() == Ok(batch) && row[operation] == "all" && words(row[card]).iter().all(has);
    let row = lines.filter(|row| row.len() == head.len()).find(wanted)?;
    Some((row[low].parse().ok()?, row[high].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_found_by_the_names_that_drivers_give_them() {
        for (network, table) in TABLES {
            for (model, is_known) in [
                ("NVIDIA H100 80GB HBM3", true),
                ("NVIDIA A100-SXM4-80GB", true),
                ("NVIDIA A100-SXM4-40GB", false),
                ("Tesla T4", true),
                ("NVIDIA L4", true),
                ("NVIDIA L40S", false),
                ("NVIDIA GeForce RTX 4090", true),
                ("NVIDIA GeForce RTX 3070", false),
            ] {
                for batch in BATCHES {
                    let found = computed(table, model, batch);
                    assert_eq!(found.is_some(), is_known, "{network} on {model} at {batch}");
                    assert!(found.is_none_or(|(low, high)| 0.0 < low && low < high));
                }
            }
        }
    }
}
