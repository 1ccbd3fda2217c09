//! `ldmatrix` and `stmatrix`: 8×8 matrices of 16-bit elements, each of 8 rows of 16 bytes that 8 lanes name.

use super::Accessor;
use crate::count::Access;
use crate::exec::grid::{Fault, Team};
use crate::exec::op::{Matrix, SHARED_WINDOW};
use crate::exec::registers::{LANES, Mask};

impl Accessor<'_, '_> {
    /// The rows that lanes 8·m to 8·m+7 name, each of 16 bytes, in the space of their addresses: shared.
    pub(super) fn rows(&mut self, matrix: &Matrix) -> Result<[u64; LANES], Fault> {
        let mut addresses = self.addresses(&matrix.address);
        let mask = Mask::MAX >> (LANES - 8 * matrix.registers.len());
        if matrix.address.space.is_none() {
            addresses = addresses.map(|address| address.wrapping_sub(SHARED_WINDOW));
        }
        self.aligned(&addresses, mask, 16)?;
        Ok(addresses)
    }

    pub(in crate::exec) fn load_matrix(&mut self, matrix: &Matrix) -> Result<(), Fault> {
        let rows = self.rows(matrix)?;
        for (index, into) in matrix.registers.iter().enumerate() {
            let mask = 0xFF << (8 * index);
            let offsets = self.shared_offsets(&rows, mask, 16, Access::Matrix)?;
            let mut words = [[0u16; 8]; 8];
            for (row, words) in words.iter_mut().enumerate() {
                let lane = 8 * index + row;
                let thread = self.thread(lane);
                let Team { shared, clocks, .. } = &mut *self.team;
                let noted = shared.read(thread, offsets[lane] as usize, 16, false, clocks);
                let value = shared.load(offsets[lane] as usize, 16);
                *words = std::array::from_fn(|column| (value >> (16 * column)) as u16);
                noted.map_err(|why| self.conflict(lane, "read", offsets[lane], 16, why))?;
            }
            // lane i holds the elements 2·(i mod 4) and the next of row i / 4 (PTX ISA, "ldmatrix")
            let values: [u32; LANES] = std::array::from_fn(|lane| {
                let (row, column) = (lane / 4, lane % 4 * 2);
                let [low, high] = if matrix.transposed {
                    [words[column][row], words[column + 1][row]]
                } else {
                    [words[row][column], words[row][column + 1]]
                };
                u32::from(high) << 16 | u32::from(low)
            });
            self.warp.registers.write(*into, &values, Mask::MAX);
        }
        Ok(())
    }

    pub(in crate::exec) fn store_matrix(&mut self, matrix: &Matrix) -> Result<(), Fault> {
        let rows = self.rows(matrix)?;
        for (index, from) in matrix.registers.iter().enumerate() {
            let mask = 0xFF << (8 * index);
            let offsets = self.shared_offsets(&rows, mask, 16, Access::Matrix)?;
            let values: [u32; LANES] = self.warp.registers.read(*from);
            for row in 0..8 {
                let lane = 8 * index + row;
                let half = |row: usize, column: usize| (values[4 * row + column / 2] >> (16 * (column % 2))) as u16;
                let value = (0..8).fold(0u128, |value, column| {
                    let half = if matrix.transposed { half(column, row) } else { half(row, column) };
                    value | u128::from(half) << (16 * column)
                });
                let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
                let Team { shared, clocks, .. } = &mut *self.team;
                let noted = shared.write(thread, offset, 16, false, false, clocks);
                shared.store(offset, 16, value);
                noted.map_err(|why| self.conflict(lane, "write", offsets[lane], 16, why))?;
            }
        }
        Ok(())
    }
}
