//! How many rows a task takes when it does several things to them: few enough for the L2 cache, many enough for the weights.

/// Numbers that a strip may work on, half of an L2 cache of 512 KiB: weights pass through the rest.
const NUMBERS: usize = 256 * 1024 / size_of::<f32>();
/// Rows of a strip even where they do not fit: each row is multiplied by every weight, which comes from further away.
const LEAST: usize = 48;
/// Rows beyond which nothing is gained.
const MOST: usize = 112;

/// The most rows of a strip of which each row needs so many numbers.
pub(crate) fn most_rows(numbers: usize) -> usize {
    (NUMBERS / numbers.max(1)).clamp(LEAST, MOST)
}

/// Rows of a strip, so that the strips are nearly equal and every thread gets as many.
pub(crate) fn strip_rows(rows: usize, threads: usize, numbers: usize) -> usize {
    let strips = rows.div_ceil(most_rows(numbers)).next_multiple_of(threads.max(1));
    rows.div_ceil(strips).max(1)
}

/// Elements from a row of so many to the next, in memory of a thread's own: whole cache lines and one more, so that rows do
/// not lie a power of two apart, where they would share the few lines of one set of the cache.
pub(crate) fn stride(columns: usize) -> usize {
    columns.next_multiple_of(16) + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_as_many_for_each_thread() {
        for (rows, threads, numbers) in
            [(3136, 2, 576), (784, 2, 768), (196, 2, 1152), (49, 2, 1920), (49, 16, 1920), (1, 4, 8)]
        {
            let strip = strip_rows(rows, threads, numbers);
            let strips = rows.div_ceil(strip);
            assert!(strip <= most_rows(numbers) && strips * strip >= rows);
            assert!(
                strips % threads == 0 || strips < 2 * threads,
                "{strips} strips of {strip} rows on {threads} threads"
            );
        }
    }
}
