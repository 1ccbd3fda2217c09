//! Messages are handed on when they are whole. tonic makes room for as much as a message's head declares: a client that declares much
//! and sends nothing would have it. Not here: what a message is (tonic), and whether its bytes may be held (`charged_body`).

use std::collections::VecDeque;

use bytes::Bytes;

/// Whether it is compressed, and its length.
const HEAD: usize = 5;

/// Cuts bytes behind whole messages.
#[derive(Debug)]
pub(super) struct Framing {
    /// Longer messages are not waited for: they are refused.
    limit: usize,
    head: [u8; HEAD],
    /// Bytes of a head that have come.
    of_head: usize,
    /// Bytes of a message that are to come.
    left: usize,
    /// Of a message that is not whole.
    held: VecDeque<Bytes>,
    whole: VecDeque<Bytes>,
}

impl Framing {
    /// `limit`: of a message, in bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, head: [0; HEAD], of_head: 0, left: 0, held: VecDeque::new(), whole: VecDeque::new() }
    }

    /// Takes what has come.
    pub(super) fn push(&mut self, mut bytes: Bytes) {
        let end = self.end_of_whole(&bytes);
        if end > 0 {
            self.whole.append(&mut self.held);
            self.whole.push_back(bytes.split_to(end));
        }
        if !bytes.is_empty() {
            self.held.push_back(bytes);
        }
    }

    /// Nothing more comes: what is not whole is handed on as it is.
    pub(super) fn finish(&mut self) {
        self.whole.append(&mut self.held);
    }

    /// The next bytes of whole messages.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.whole.pop_front()
    }

    /// Whether everything has been handed on.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.held.is_empty()
    }

    /// Where in these bytes the last message ends that is whole by them; 0 where none does.
    fn end_of_whole(&mut self, bytes: &[u8]) -> usize {
        let (mut at, mut end) = (0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left > 0 {
                let count = rest.len().min(self.left);
                self.left -= count;
                at += count;
            } else {
                let count = rest.len().min(HEAD - self.of_head);
                self.head[self.of_head..self.of_head + count].copy_from_slice(&rest[..count]);
                self.of_head += count;
                at += count;
                if self.of_head < HEAD {
                    continue;
                }
                self.of_head = 0;
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length) as usize;
                if self.left > self.limit {
                    return bytes.len();
                }
            }
            if self.left == 0 && self.of_head == 0 {
                end = at;
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        [&[0][..], &(length as u32).to_be_bytes(), &vec![7; length]].concat()
    }

    fn handed_on(framing: &mut Framing) -> Vec<u8> {
        std::iter::from_fn(|| framing.next()).flatten().collect()
    }

    #[test]
    fn a_message_is_handed_on_with_its_last_byte() {
        let mut framing = Framing::new(100);
        let bytes = message(20);
        framing.push(Bytes::copy_from_slice(&bytes[..3]));
        framing.push(Bytes::copy_from_slice(&bytes[3..24]));
        assert_eq!(framing.next(), None);
        framing.push(Bytes::copy_from_slice(&bytes[24..]));
        assert_eq!(handed_on(&mut framing), bytes);
        assert!(framing.is_empty());
    }

    #[test]
    fn a_head_that_declares_too_much_is_handed_on_at_once() {
        let mut framing = Framing::new(100);
        framing.push(Bytes::copy_from_slice(&message(101)[..7]));
        assert_eq!(handed_on(&mut framing), message(101)[..7]);
    }

    #[test]
    fn the_rest_is_handed_on_at_the_end() {
        let mut framing = Framing::new(100);
        framing.push(Bytes::copy_from_slice(&message(20)[..9]));
        framing.finish();
        assert_eq!(handed_on(&mut framing), message(20)[..9]);
    }

    proptest! {
        #[test]
        fn any_cuts_give_whole_messages(lengths in proptest::collection::vec(0_usize..30, 1..6), cuts in proptest::collection::vec(1_usize..20, 1..80)) {
            let messages: Vec<Vec<u8>> = lengths.iter().map(|length| message(*length)).collect();
            let all = messages.concat();
            let mut framing = Framing::new(30);
            let (mut sent, mut seen) = (0, Vec::new());
            for cut in cuts {
                let end = (sent + cut).min(all.len());
                framing.push(Bytes::copy_from_slice(&all[sent..end]));
                sent = end;
                seen.extend(handed_on(&mut framing));
                // exactly the messages that have come whole
                let whole = messages.iter().scan(0, |end, message| { *end += message.len(); Some(*end) });
                prop_assert_eq!(seen.len(), whole.take_while(|end| *end <= sent).last().unwrap_or(0));
            }
            prop_assert_eq!(&seen[..], &all[..seen.len()]);
        }
    }
}
