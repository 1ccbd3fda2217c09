//! Copies and memsets: what of the client's memory is used when. Pageable memory is read when a copy is asked for, and written before the call
//! returns; pinned memory is used when the copy runs. So whoever reads a result or reuses a buffer too early does it here every time.

use std::sync::Arc;

use super::api::pointer::Client;
use super::code::Code;
use super::handles::Handle;
use super::schedule::Ticket;
use super::state::{Driver, State};
use super::work::{Place, Work};
use crate::memory::Kind;

/// Where a copy begins or ends, as the client says it.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Device(u64),
    Host(Client),
    /// One of them: the address tells.
    Either(u64),
}

/// An end, looked up.
struct Found {
    place: Place,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Device,
    Pinned,
    Pageable,
}

/// A call that copies.
pub(super) struct Copy {
    pub(super) from: End,
    pub(super) to: End,
    pub(super) size: u64,
}

/// A call that fills memory with values of so many bytes.
pub(super) struct Fill {
    pub(super) address: u64,
    pub(super) value: u32,
    pub(super) width: u64,
    pub(super) count: u64,
}

impl State {
    fn end(&self, end: End, size: u64) -> Result<Found, Code> {
        let known = |address| self.memory().find(address, size);
        let host = |client: Client| {
            let address = client.address() as u64;
            if address == 0 {
                return Err(Code::INVALID_VALUE);
            }
            let side = if self.is_registered(address, size) { Side::Pinned } else { Side::Pageable };
            Ok(Found { place: Place::Client(client), side })
        };
        match end {
            End::Device(address) => {
                known(address)?;
                Ok(Found { place: Place::Memory(address), side: Side::Device })
            }
            End::Host(client) => match known(client.address() as u64) {
                Ok(_) => Ok(Found { place: Place::Memory(client.address() as u64), side: Side::Pinned }),
                Err(_) => host(client),
            },
            End::Either(address) => match known(address) {
                Ok(found) => {
                    let side = if found.kind == Kind::Pinned { Side::Pinned } else { Side::Device };
                    Ok(Found { place: Place::Memory(address), side })
                }
                Err(_) => host(Client::at(address as usize)),
            },
        }
    }
}

impl Copy {
    /// The ends; pageable memory that is read, as it is now.
    fn ends(&self, state: &State, staged: bool) -> Result<(Found, Found), Code> {
        let (mut from, to) = (state.end(self.from, self.size)?, state.end(self.to, self.size)?);
        if let (true, Side::Pageable, Place::Client(client)) = (staged, from.side, &from.place) {
            let mut bytes = vec![0; self.size as usize];
            client.read(&mut bytes);
            from.place = Place::Staged(Arc::from(bytes));
        }
        Ok((from, to))
    }
}

impl Driver {
    /// A copy without a stream: on the null stream, and done when the call returns, except that copies within the device are only queued, and
    /// that pageable memory is only staged ("the DMA to the final destination may not have completed").
    pub(super) fn copy(&self, copy: &Copy) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        if copy.size == 0 {
            return Ok(());
        }
        let (from, to) = copy.ends(&state, true)?;
        let stream = state.stream(context, Handle::NULL)?;
        let before = state.submit(stream, Work::Nothing, &[])?;
        let ticket = state.submit(stream, Work::Copy { from: from.place, to: to.place, size: copy.size }, &[])?;
        let goal = match (from.side, to.side) {
            (Side::Device, Side::Device) => None,
            // What the null stream waits for is done before: that much is promised.
            (Side::Pageable, Side::Device) if state.schedule.draw(2) == 1 => before,
            _ => ticket,
        };
        let goal: Vec<Ticket> = goal.into_iter().collect();
        self.finish(state, context, &goal).map(|_| ())
    }

    /// A copy on a stream. One that ends in pageable memory is done when the call returns.
    pub(super) fn copy_async(&self, copy: &Copy, named: Handle) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        let stream = state.stream(context, named)?;
        if copy.size == 0 {
            return Ok(());
        }
        let context = state.context_of(stream)?;
        // A graph reads the client's memory whenever it is launched.
        let staged = state.captures.of(stream).is_none();
        let (from, to) = copy.ends(&state, staged)?;
        let work = Work::Copy { from: from.place, to: to.place, size: copy.size };
        let goal: Vec<Ticket> = state.submit(stream, work, &[])?.into_iter().collect();
        if to.side == Side::Pageable {
            return self.finish(state, context, &goal).map(|_| ());
        }
        Ok(())
    }

    /// A memset; without a stream, on the null stream, and waited for only where it fills pinned memory.
    pub(super) fn fill(&self, fill: &Fill, named: Option<Handle>) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        let stream = state.stream(context, named.unwrap_or(Handle::NULL))?;
        let Fill { address, value, width, count } = *fill;
        if count == 0 {
            return Ok(());
        }
        let size = count.checked_mul(width).ok_or(Code::INVALID_VALUE)?;
        let found = state.memory().find(address, size)?;
        let context = state.context_of(stream)?;
        if !found.is_reached_by(state.ordinal_of(context)) {
            return Err(Code::INVALID_VALUE); // another device's: what a card does was not recorded
        }
        let kind = found.kind;
        if !address.is_multiple_of(width) {
            return Err(Code::INVALID_VALUE);
        }
        let ticket = state.submit(stream, Work::Fill { address, value, width, count }, &[])?;
        if named.is_none() && kind == Kind::Pinned {
            let goal: Vec<Ticket> = ticket.into_iter().collect();
            return self.finish(state, context, &goal).map(|_| ());
        }
        Ok(())
    }
}
