//! Stream capture: what streams are given becomes nodes of a graph, and what a graph cannot hold ends the capture. Which call is refused how,
//! and whether it ends the capture, is as an H100's driver answered.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::thread::{self, ThreadId};

use super::code::Code;
use super::graph::{Graph, Node};
use super::handles::Handle;
use super::state::State;
use super::work::Work;

/// All captures that began and did not end.
#[derive(Default)]
pub(super) struct Captures {
    open: BTreeMap<u64, Capture>,
    last: u64,
}

struct Capture {
    context: Handle,
    mode: Mode,
    thread: ThreadId,
    /// Where it began.
    origin: Handle,
    /// The streams that take part: the nodes that what comes next on them waits for.
    streams: HashMap<Handle, Vec<usize>>,
    /// The graph that it becomes.
    graph: Handle,
    nodes: Vec<Node>,
    /// Nodes of which a client was told where they are: of each stream the last list.
    shown: HashMap<Handle, Box<[Handle]>>,
    valid: bool,
}

/// What `cuStreamGetCaptureInfo` tells of a stream.
#[derive(Default)]
pub(super) struct Info {
    /// 0 it is not captured, 1 it is, 2 its capture was invalidated.
    pub(super) status: u32,
    /// The capture's number.
    pub(super) id: u64,
    pub(super) graph: Handle,
    /// Where the nodes are that the stream's next work will wait for, and how many.
    pub(super) nodes: (usize, usize),
}

/// Whom calls that a graph cannot hold disturb.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everyone's.
    Global,
    /// Those of the thread that began it.
    ThreadLocal,
    /// Nobody's.
    Relaxed,
}

/// A place in a capture.
#[derive(Clone)]
pub(super) struct Mark {
    pub(super) capture: u64,
    nodes: Vec<usize>,
}

/// A stream that waits for a place in a capture.
pub(super) struct Joined {
    pub(super) stream: Handle,
    pub(super) context: Handle,
    pub(super) mark: Mark,
}

thread_local! {
    /// `cuThreadExchangeStreamCaptureMode`: which captures this thread's calls disturb.
    static MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

impl Mode {
    pub(super) fn new(number: u32) -> Result<Self, Code> {
        match number {
            0 => Ok(Self::Global),
            1 => Ok(Self::ThreadLocal),
            2 => Ok(Self::Relaxed),
            _ => Err(Code::INVALID_VALUE),
        }
    }

    /// Sets the calling thread's, and gives back the one before.
    pub(super) fn exchange(self) -> u32 {
        MODE.replace(self) as u32
    }
}

impl Captures {
    /// The capture in which a stream takes part.
    pub(super) fn of(&self, stream: Handle) -> Option<u64> {
        self.open.iter().find(|(_, capture)| capture.streams.contains_key(&stream)).map(|(id, _)| *id)
    }

    /// Whether a capture did not end.
    pub(super) fn is_there(&self, capture: u64) -> bool {
        self.open.contains_key(&capture)
    }

    pub(super) fn invalidate(&mut self, capture: u64) {
        if let Some(capture) = self.open.get_mut(&capture) {
            capture.valid = false;
        }
    }

    /// Invalidates those of which a stream is such; whether there was one.
    pub(super) fn invalidate_with(&mut self, which: impl Fn(Handle) -> bool) -> bool {
        self.invalidate_all(|capture| capture.streams.keys().any(|stream| which(*stream)))
    }

    /// Refuses what no graph can hold, such as an allocation, where a capture forbids it.
    pub(super) fn refuse_unsafe_call(&mut self) -> Result<(), Code> {
        let (thread, mode) = (thread::current().id(), MODE.get());
        let disturbed = self.invalidate_all(|capture| match capture.mode {
            Mode::Relaxed => false,
            _ if capture.thread == thread => mode != Mode::Relaxed,
            Mode::Global => mode == Mode::Global,
            Mode::ThreadLocal => false,
        });
        if disturbed { Err(Code::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }

    /// Refuses a wait for all work of a context, which disturbs even relaxed captures.
    pub(super) fn refuse_in(&mut self, context: Handle) -> Result<(), Code> {
        let disturbed = self.invalidate_all(|capture| capture.context == context);
        if disturbed { Err(Code::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }

    fn invalidate_all(&mut self, which: impl Fn(&Capture) -> bool) -> bool {
        let mut any = false;
        for capture in self.open.values_mut().filter(|capture| which(capture)) {
            capture.valid = false;
            any = true;
        }
        any
    }

    /// Adds a node.
    pub(super) fn add(&mut self, capture: u64, stream: Handle, work: Work) -> Result<(), Code> {
        let capture = self.valid(capture)?;
        let node = capture.nodes.len();
        let after = capture.streams.insert(stream, vec![node]).unwrap_or_default();
        capture.nodes.push(Node { handle: Handle::fresh(), work, after });
        Ok(())
    }

    /// A graph that is still captured, as it is by now.
    pub(super) fn graph(&self, graph: Handle) -> Option<Graph> {
        let capture = self.open.values().find(|capture| capture.graph == graph)?;
        Some(Graph::new(capture.context, capture.nodes.clone()))
    }

    /// The work of a node that was captured by now.
    pub(super) fn work(&self, node: Handle) -> Option<&Work> {
        let mut nodes = self.open.values().flat_map(|capture| &capture.nodes);
        nodes.find(|found| found.handle == node).map(|node| &node.work)
    }

    /// Its nodes that a stream's next work will wait for, kept for the client to look at until it asks again.
    fn show(&mut self, capture: u64, stream: Handle) -> Info {
        let Some(found) = self.open.get_mut(&capture) else { return Info::default() };
        if !found.valid {
            return Info { status: 2, id: capture, ..Info::default() };
        }
        let places = found.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let handles: Box<[Handle]> = places.iter().map(|place| found.nodes[*place].handle).collect();
        let nodes = (handles.as_ptr() as usize, handles.len());
        found.shown.insert(stream, handles);
        Info { status: 1, id: capture, graph: found.graph, nodes }
    }

    /// Lets a stream's next work wait for these nodes, beside those that it waits for already or instead of them.
    fn depend(&mut self, capture: u64, stream: Handle, nodes: &[Handle], instead: bool) -> Result<(), Code> {
        let found = self.valid(capture)?;
        let place = |node: &Handle| found.nodes.iter().position(|own| own.handle == *node).ok_or(Code::INVALID_VALUE);
        let places = nodes.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let after = found.streams.entry(stream).or_default();
        if instead {
            after.clear();
        }
        places.into_iter().for_each(|place| {
            if !after.contains(&place) {
                after.push(place);
            }
        });
        Ok(())
    }

    /// Where a stream is in its capture.
    pub(super) fn mark(&mut self, capture: u64, stream: Handle) -> Result<Mark, Code> {
        let found = self.valid(capture)?;
        Ok(Mark { capture, nodes: found.streams.get(&stream).cloned().unwrap_or_default() })
    }

    /// Lets a stream wait for a place in a capture: it takes part from now on.
    pub(super) fn join(&mut self, joined: &Joined) -> Result<(), Code> {
        let id = joined.mark.capture;
        if let Some(other) = self.of(joined.stream).filter(|other| *other != id) {
            self.invalidate(id);
            self.invalidate(other);
            return Err(Code::CAPTURE_MERGE);
        }
        if !self.is_there(id) {
            return Err(Code::INVALID_VALUE);
        }
        let capture = self.valid(id)?;
        if capture.context != joined.context {
            capture.valid = false;
            return Err(Code::INVALID_CONTEXT);
        }
        let after = capture.streams.entry(joined.stream).or_default();
        after.extend(joined.mark.nodes.iter().copied().filter(|node| !after.contains(node)).collect::<Vec<_>>());
        Ok(())
    }

    fn valid(&mut self, capture: u64) -> Result<&mut Capture, Code> {
        self.open.get_mut(&capture).filter(|capture| capture.valid).ok_or(Code::CAPTURE_INVALIDATED)
    }

    /// Forgets a stream that is destroyed, and with it the capture that began there.
    pub(super) fn forget_stream(&mut self, stream: Handle) {
        self.open.retain(|_, capture| capture.origin != stream);
        for capture in self.open.values_mut() {
            capture.streams.remove(&stream);
        }
    }

    /// Forgets a context that ends.
    pub(super) fn forget(&mut self, context: Handle) {
        self.open.retain(|_, capture| capture.context != context);
    }
}

impl Capture {
    /// Whether the stream where it began waits for all nodes.
    fn is_joined(&self) -> bool {
        let mut seen = HashSet::new();
        let mut open = self.streams.get(&self.origin).cloned().unwrap_or_default();
        while let Some(node) = open.pop() {
            if seen.insert(node) {
                open.extend(&self.nodes[node].after);
            }
        }
        seen.len() == self.nodes.len()
    }
}

impl State {
    /// `cuStreamBeginCapture`.
    pub(super) fn begin_capture(&mut self, context: Handle, named: Handle, mode: Mode) -> Result<(), Code> {
        let stream = self.stream(context, named)?;
        if self.streams.find(stream).is_some_and(super::stream::Stream::is_legacy) {
            return Err(Code::CAPTURE_UNSUPPORTED);
        }
        if self.captures.of(stream).is_some() {
            return Err(Code::ILLEGAL_STATE);
        }
        let context = self.context_of(stream)?;
        self.captures.last += 1;
        let capture = Capture {
            context,
            mode,
            thread: thread::current().id(),
            origin: stream,
            streams: HashMap::from([(stream, vec![])]),
            graph: Handle::fresh(),
            nodes: vec![],
            shown: HashMap::new(),
            valid: true,
        };
        self.captures.open.insert(self.captures.last, capture);
        Ok(())
    }

    /// `cuStreamIsCapturing`, `cuStreamGetCaptureInfo`.
    pub(super) fn capture_info(&mut self, context: Handle, named: Handle) -> Result<Info, Code> {
        let stream = self.stream(context, named)?;
        if self.streams.find(stream).is_some_and(super::stream::Stream::is_legacy) {
            self.refuse_implicit_capture(context)?;
        }
        Ok(self.captures.of(stream).map_or_else(Info::default, |capture| self.captures.show(capture, stream)))
    }

    /// `cuStreamUpdateCaptureDependencies`.
    pub(super) fn depend(
        &mut self,
        context: Handle,
        named: Handle,
        nodes: &[Handle],
        instead: bool,
    ) -> Result<(), Code> {
        let stream = self.stream(context, named)?;
        let capture = self.captures.of(stream).ok_or(Code::ILLEGAL_STATE)?;
        self.captures.depend(capture, stream, nodes, instead)
    }

    /// `cuStreamEndCapture`.
    pub(super) fn end_capture(&mut self, context: Handle, named: Handle) -> Result<Handle, Code> {
        let stream = self.stream(context, named)?;
        let id = self.captures.of(stream).ok_or(Code::ILLEGAL_STATE)?;
        let capture = self.captures.open.get_mut(&id).ok_or(Code::ILLEGAL_STATE)?;
        if capture.origin != stream {
            capture.valid = false;
            return Err(Code::CAPTURE_UNMATCHED);
        }
        // Whatever it ends with, it ends.
        let capture = self.captures.open.remove(&id).ok_or(Code::ILLEGAL_STATE)?;
        if capture.mode != Mode::Relaxed && capture.thread != thread::current().id() {
            return Err(Code::CAPTURE_WRONG_THREAD);
        }
        if !capture.valid {
            return Err(Code::CAPTURE_INVALIDATED);
        }
        if !capture.is_joined() {
            return Err(Code::CAPTURE_UNJOINED);
        }
        self.graphs.put(capture.graph, Graph::new(capture.context, capture.nodes).into());
        Ok(capture.graph)
    }
}
