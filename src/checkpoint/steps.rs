//! The steps of weights that are stored in bytes: `weight = byte · step of its row · step of its column`. Not here: who makes them (`quantize`).

/// Behind a weight's name, the tensor of its rows' steps, `[out]`.
pub(super) const ROWS: &str = "_step";
/// Behind a weight's name, the tensor of its columns' steps, `[in]`, which not every weight has.
pub(super) const COLUMNS: &str = "_column_step";

/// The steps of one weight `[out, in, …]`.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    /// `[out]`
    pub(super) rows: Vec<f32>,
    /// `[in]`; one where there are none.
    pub(super) columns: Option<Vec<f32>>,
}

impl Steps {
    /// Bytes as floats become the weight.
    pub(super) fn multiply(&self, weight: &mut [f32]) {
        let row = (weight.len() / self.rows.len().max(1)).max(1);
        for (row, step) in weight.chunks_mut(row).zip(&self.rows) {
            match &self.columns {
                None => row.iter_mut().for_each(|x| *x *= step),
                Some(columns) => {
                    let taps = (row.len() / columns.len().max(1)).max(1);
                    for (taps, column) in row.chunks_mut(taps).zip(columns) {
                        taps.iter_mut().for_each(|x| *x *= step * column);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_multiplied_by_the_steps_of_its_row_and_its_column() {
        let mut weight = [1.0; 12]; // [2, 3, 2 taps]
        Steps { rows: vec![1.0, 10.0], columns: Some(vec![1.0, 2.0, 3.0]) }.multiply(&mut weight);
        assert_eq!(weight, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 10.0, 10.0, 20.0, 20.0, 30.0, 30.0]);
        Steps { rows: vec![2.0, 3.0], columns: None }.multiply(&mut weight);
        assert_eq!(weight[5..7], [6.0, 30.0]);
    }
}
