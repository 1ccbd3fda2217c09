//! Events: a place in a stream that others wait for, and the time when it was reached. Time is this machine's while it emulates: only the
//! order of two events means something.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::capture::{Joined, Mark};
use super::code::Code;
use super::handles::Handle;
use super::schedule::Ticket;
use super::state::{Driver, State};
use super::work::Work;

pub(super) struct Event {
    pub(super) context: Handle,
    timed: bool,
    recorded: Option<Recorded>,
}

/// Where it was last recorded.
#[derive(Clone)]
enum Recorded {
    Queued(Ticket, Arc<OnceLock<Instant>>),
    /// In a capture, after these nodes.
    Captured(Mark),
}

/// `CU_EVENT_DISABLE_TIMING` and `CU_EVENT_INTERPROCESS`, which needs it.
const DISABLE_TIMING: u32 = 2;
const INTERPROCESS: u32 = 4;

/// What the use of a destroyed event answers.
const DESTROYED: Code = Code::CONTEXT_IS_DESTROYED;

impl State {
    pub(super) fn create_event(&mut self, context: Handle, flags: u32) -> Result<Handle, Code> {
        if flags > 7 || flags & INTERPROCESS != 0 && flags & DISABLE_TIMING == 0 {
            return Err(Code::INVALID_VALUE);
        }
        Ok(self.events.add(Event { context, timed: flags & DISABLE_TIMING == 0, recorded: None }))
    }

    pub(super) fn destroy_event(&mut self, event: Handle) -> Result<(), Code> {
        self.events.remove(event, DESTROYED).map(|_| ())
    }

    pub(super) fn record_event(&mut self, context: Handle, event: Handle, named: Handle) -> Result<(), Code> {
        let owner = self.events.get(event, DESTROYED)?.context;
        let stream = self.stream(context, named)?;
        if self.streams.find(stream).is_none_or(|stream| stream.context != owner) {
            return Err(Code::INVALID_HANDLE);
        }
        let recorded = if let Some(capture) = self.captures.of(stream) {
            Recorded::Captured(self.captures.mark(capture, stream)?)
        } else {
            let moment = Arc::new(OnceLock::new());
            let Some(ticket) = self.submit(stream, Work::Mark(Arc::clone(&moment)), &[])? else { return Ok(()) };
            Recorded::Queued(ticket, moment)
        };
        self.events.get_mut(event, DESTROYED)?.recorded = Some(recorded);
        Ok(())
    }

    /// `cuStreamWaitEvent`. An event that was never recorded is not waited for.
    pub(super) fn wait_for_event(&mut self, context: Handle, named: Handle, event: Handle) -> Result<(), Code> {
        let recorded = self.events.get(event, DESTROYED)?.recorded.clone();
        let stream = self.stream(context, named)?;
        let capture = self.captures.of(stream);
        match recorded {
            None => Ok(()),
            Some(Recorded::Queued(ticket, _)) => {
                if let Some(capture) = capture {
                    self.captures.invalidate(capture);
                    return Err(Code::CAPTURE_ISOLATION);
                }
                if !self.schedule.is_done(ticket) {
                    self.submit(stream, Work::Nothing, &[ticket])?;
                }
                Ok(())
            }
            Some(Recorded::Captured(mark)) => {
                if self.streams.find(stream).is_some_and(super::stream::Stream::is_legacy) {
                    self.captures.invalidate(mark.capture);
                    return Err(Code::CAPTURE_IMPLICIT);
                }
                let context = self.context_of(stream)?;
                self.captures.join(&Joined { stream, context, mark })
            }
        }
    }

    /// The work that an event stands for, and whether it can be asked for now.
    fn awaited(&mut self, event: Handle) -> Result<Option<Ticket>, Code> {
        match &self.events.get(event, DESTROYED)?.recorded {
            // Recorded in this order: an event of a capture says so itself, even where captures forbid all queries.
            Some(Recorded::Captured(mark)) if self.captures.is_there(mark.capture) => {
                let capture = mark.capture;
                self.captures.invalidate(capture);
                Err(Code::CAPTURED_EVENT)
            }
            Some(Recorded::Captured(_)) => Err(Code::INVALID_VALUE),
            Some(Recorded::Queued(ticket, _)) => {
                let ticket = *ticket;
                self.captures.refuse_unsafe_call()?;
                Ok(Some(ticket))
            }
            None => self.captures.refuse_unsafe_call().map(|()| None),
        }
    }

    /// `cuEventElapsedTime`: milliseconds.
    pub(super) fn elapsed(&self, start: Handle, end: Handle) -> Result<f32, Code> {
        let (start, end) = (self.events.get(start, DESTROYED)?, self.events.get(end, DESTROYED)?);
        // As the programming guide says of events of two devices.
        let same = self.ordinal_of(start.context) == self.ordinal_of(end.context);
        if !(start.timed && end.timed && same) {
            return Err(Code::INVALID_HANDLE);
        }
        match (&start.recorded, &end.recorded) {
            (Some(Recorded::Queued(_, start)), Some(Recorded::Queued(_, end))) => {
                let (Some(start), Some(end)) = (start.get(), end.get()) else { return Err(Code::NOT_READY) };
                let forward = end.saturating_duration_since(*start).as_secs_f64();
                let back = start.saturating_duration_since(*end).as_secs_f64();
                Ok(((forward - back) * 1e3) as f32)
            }
            (None, _) | (_, None) => Err(Code::INVALID_HANDLE),
            _ => Err(Code::INVALID_VALUE),
        }
    }
}

impl Driver {
    pub(super) fn query_event(&self, event: Handle) -> Result<(), Code> {
        let (mut state, _) = self.enter()?;
        let goal: Vec<Ticket> = state.awaited(event)?.into_iter().collect();
        let context = state.events.get(event, DESTROYED)?.context;
        self.query(state, context, &goal)
    }

    pub(super) fn synchronise_event(&self, event: Handle) -> Result<(), Code> {
        let (mut state, _) = self.enter()?;
        let goal: Vec<Ticket> = state.awaited(event)?.into_iter().collect();
        let context = state.events.get(event, DESTROYED)?.context;
        self.finish(state, context, &goal).map(|_| ())
    }
}
