//! How many rows a task takes when it does several things to them: few enough for the L2 cache, many enough for each weight that is read.
//!
//! Not here: the cut itself (`tile`).

use crate::engine::cpu::parallel::caches::l2_bytes;

/// Rows of a strip even where they do not fit. With fewer, too few rows are multiplied by each weight, which is read from further away.
pub(crate) const MIN_ROWS: usize = 48;
/// More rows than this gain nothing.
const MAX_ROWS: usize = 112;

/// The most rows of a strip, where each row works on `floats` floats. They fill half of the L2 cache; weights pass through the other half.
pub(crate) fn max_rows(floats: usize) -> usize {
    (l2_bytes() / 2 / size_of::<f32>() / floats.max(1)).clamp(MIN_ROWS, MAX_ROWS)
}

/// Rows of a strip, such that strips are nearly equal and every thread gets the same number of them.
pub(crate) fn strip_rows(rows: usize, threads: usize, floats: usize) -> usize {
    let strips = rows.div_ceil(max_rows(floats)).next_multiple_of(threads.max(1));
    rows.div_ceil(strips).max(1)
}

/// Elements from one row of `columns` columns to the next, in the memory of a thread: whole cache lines, and one line more.
///
/// Rows that lie a power of two apart would share the few lines of one set of the cache.
pub(crate) fn stride(columns: usize) -> usize {
    columns.next_multiple_of(16) + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_gets_the_same_number_of_strips() {
        for (rows, threads, floats) in
            [(3136, 2, 576), (784, 2, 768), (196, 2, 1152), (49, 2, 1920), (49, 16, 1920), (1, 4, 8)]
        {
            let strip = strip_rows(rows, threads, floats);
            let strips = rows.div_ceil(strip);
            assert!(strip <= max_rows(floats) && strips * strip >= rows);
            assert!(
                strips % threads == 0 || strips < 2 * threads,
                "{strips} strips of {strip} rows on {threads} threads"
            );
        }
    }
}
