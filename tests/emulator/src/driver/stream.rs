//! Streams: their handles, what a stream's work waits for, queries and waits. The null stream waits for all blocking streams of its context
//! and they for it; non-blocking streams wait for nothing but events. Not here: in which order work is done (`schedule.rs`).

use super::code::Code;
use super::findings;
use super::handles::Handle;
use super::schedule::Ticket;
use super::state::{Driver, State};
use super::work::Work;

pub(super) struct Stream {
    pub(super) context: Handle,
    kind: Kind,
    pub(super) priority: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What null means.
    Legacy,
    /// What `CU_STREAM_PER_THREAD` means.
    PerThread,
    Blocking,
    NonBlocking,
}

/// The greatest priority is the least number.
pub(super) const PRIORITIES: (i32, i32) = (0, -5);

/// Handles of streams that nobody creates.
const LEGACY: Handle = Handle(1);
const PER_THREAD: Handle = Handle(2);

/// `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: u32 = 1;

/// What the use of a destroyed stream answers: recorded of one destroyed in a capture, and of one of a destroyed context. Otherwise the card's
/// driver crashes.
const DESTROYED: Code = Code::INVALID_CONTEXT;

impl Stream {
    pub(super) fn legacy(context: Handle) -> Self {
        Self { context, kind: Kind::Legacy, priority: 0 }
    }

    /// Whether a context that ends should have destroyed it.
    pub(super) fn is_leak(&self, context: Handle) -> bool {
        self.context == context && matches!(self.kind, Kind::Blocking | Kind::NonBlocking)
    }

    /// Whether it waits for the null stream, and that for it.
    pub(super) fn is_blocking(&self) -> bool {
        matches!(self.kind, Kind::Blocking | Kind::PerThread)
    }

    pub(super) fn is_legacy(&self) -> bool {
        self.kind == Kind::Legacy
    }

    pub(super) fn flags(&self) -> u32 {
        u32::from(self.kind == Kind::NonBlocking)
    }
}

impl State {
    /// `cuStreamCreate`.
    pub(super) fn create_stream(&mut self, context: Handle, flags: u32, priority: i32) -> Result<Handle, Code> {
        let kind = match flags {
            0 => Kind::Blocking,
            NON_BLOCKING => Kind::NonBlocking,
            _ => return Err(Code::INVALID_VALUE),
        };
        Ok(self.streams.add(Stream { context, kind, priority: priority.clamp(PRIORITIES.1, PRIORITIES.0) }))
    }

    /// The stream that a client means, in a context that can be used.
    pub(super) fn stream(&mut self, context: Handle, named: Handle) -> Result<Handle, Code> {
        match named {
            Handle::NULL | LEGACY => Ok(self.contexts.get(context, Code::CONTEXT_IS_DESTROYED)?.legacy),
            PER_THREAD => {
                let streams = &mut self.streams;
                let context_state = self.contexts.get_mut(context, Code::CONTEXT_IS_DESTROYED)?;
                let own = context_state.per_thread.entry(std::thread::current().id());
                Ok(*own.or_insert_with(|| streams.add(Stream { context, kind: Kind::PerThread, priority: 0 })))
            }
            _ => {
                if self.streams.was_destroyed(named) {
                    findings::report("a stream is used that was destroyed, in which the driver of a card may crash");
                }
                let owner = self.streams.get(named, DESTROYED)?.context;
                self.usable(owner)?;
                Ok(named)
            }
        }
    }

    /// The context of a stream, which need not be the calling thread's.
    pub(super) fn context_of(&self, stream: Handle) -> Result<Handle, Code> {
        Ok(self.streams.get(stream, DESTROYED)?.context)
    }

    /// `cuStreamDestroy`: what is queued still runs.
    pub(super) fn destroy_stream(&mut self, context: Handle, named: Handle) -> Result<(), Code> {
        let stream = self.stream(context, named)?;
        if matches!(named, Handle::NULL | LEGACY | PER_THREAD) {
            return Err(Code::INVALID_HANDLE);
        }
        self.captures.forget_stream(stream);
        let destroyed = self.streams.remove(stream, DESTROYED)?;
        if let (true, Some(tail)) = (destroyed.is_blocking(), self.schedule.tail(stream)) {
            self.contexts.get_mut(destroyed.context, Code::CONTEXT_IS_DESTROYED)?.orphans.push(tail);
        }
        Ok(())
    }

    /// Gives a stream work, or the graph that it is captured into. What must be waited for, if someone does.
    pub(super) fn submit(&mut self, stream: Handle, work: Work, after: &[Ticket]) -> Result<Option<Ticket>, Code> {
        if let Some(capture) = self.captures.of(stream) {
            self.captures.add(capture, stream, work)?;
            return Ok(None);
        }
        let (context, legacy, blocking) = {
            let stream = self.streams.get(stream, DESTROYED)?;
            (stream.context, stream.is_legacy(), stream.is_blocking())
        };
        if legacy {
            self.refuse_implicit_capture(context)?;
        }
        let mut after = after.to_vec();
        if legacy {
            after.extend(self.blocking_tails(context));
        } else if blocking {
            let null = self.contexts.get(context, Code::CONTEXT_IS_DESTROYED)?.legacy;
            after.extend(self.schedule.tail(null));
        }
        Ok(Some(self.schedule.push(context, stream, work, after)))
    }

    /// The last work of each blocking stream, those among them that were destroyed before it was done.
    fn blocking_tails(&self, context: Handle) -> Vec<Ticket> {
        let blocking = self.streams.iter().filter(|(_, stream)| stream.context == context && stream.is_blocking());
        let tails = blocking.filter_map(|(handle, _)| self.schedule.tail(handle));
        tails.chain(self.contexts.find(context).into_iter().flat_map(|context| context.orphans.clone())).collect()
    }

    /// A capture of a blocking stream would have to wait for work on the null stream, which it cannot record.
    pub(super) fn refuse_implicit_capture(&mut self, context: Handle) -> Result<(), Code> {
        let streams = &self.streams;
        let blocking = |handle| {
            streams.find(handle).is_some_and(|stream: &Stream| stream.context == context && stream.is_blocking())
        };
        if self.captures.invalidate_with(blocking) { Err(Code::CAPTURE_IMPLICIT) } else { Ok(()) }
    }

    /// All that a wait for a stream waits for.
    fn unfinished(&self, stream: Handle) -> Vec<Ticket> {
        let mut goal: Vec<Ticket> = self.schedule.tail(stream).into_iter().collect();
        if let Some(legacy) = self.streams.find(stream).filter(|stream| stream.is_legacy()) {
            goal.extend(self.blocking_tails(legacy.context));
        }
        goal
    }

    /// Refuses queries and waits while this stream, or by this thread's captures anything, is captured.
    fn refuse_captured(&mut self, stream: Handle) -> Result<(), Code> {
        if let Some(capture) = self.captures.of(stream) {
            self.captures.invalidate(capture);
            return Err(Code::CAPTURE_UNSUPPORTED);
        }
        self.captures.refuse_unsafe_call()
    }
}

impl Driver {
    pub(super) fn query_stream(&self, named: Handle) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        let stream = state.stream(context, named)?;
        state.refuse_captured(stream)?;
        let context = state.context_of(stream)?;
        let goal = state.unfinished(stream);
        self.query(state, context, &goal)
    }

    pub(super) fn synchronise_stream(&self, named: Handle) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        let stream = state.stream(context, named)?;
        state.refuse_captured(stream)?;
        let context = state.context_of(stream)?;
        let goal = state.unfinished(stream);
        self.finish(state, context, &goal).map(|_| ())
    }

    pub(super) fn synchronise_context(&self) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        state.captures.refuse_in(context)?;
        let goal = state.schedule.of(context);
        self.finish(state, context, &goal).map(|_| ())
    }
}
