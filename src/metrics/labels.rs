//! Values of labels: the stages of an image, and why a request is turned away. Not here: the metrics that have them.

/// A stage of the way of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes to RGB.
    Decode,
    /// Resize and crop.
    Transform,
    /// Waiting for the device.
    Queue,
    /// On the device.
    Compute,
    /// Scores to bytes.
    Respond,
}

impl Stage {
    /// All of them, in the order of the way.
    pub(super) const ALL: [Self; 5] = [Self::Decode, Self::Transform, Self::Queue, Self::Compute, Self::Respond];

    /// The value of the label `stage`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Queue => "queue",
            Self::Compute => "compute",
            Self::Respond => "respond",
        }
    }
}

/// Why a request was rejected at admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// As many images of the model are admitted as its queue holds.
    Queue,
    /// The bytes of all bodies are spent.
    Bodies,
    /// The decoded pixels of all images are spent.
    Pixels,
    /// The queue is longer than the deadline.
    Wait,
    /// The model is not ready, or a drain has begun.
    NotReady,
    /// More connections than are allowed.
    Connections,
    /// A key has spent its rate.
    Rate,
}

impl Rejection {
    pub(super) const ALL: [Self; 7] =
        [Self::Queue, Self::Bodies, Self::Pixels, Self::Wait, Self::NotReady, Self::Connections, Self::Rate];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue_full",
            Self::Bodies => "body_bytes",
            Self::Pixels => "pixels",
            Self::Wait => "estimated_wait",
            Self::NotReady => "not_ready",
            Self::Connections => "connections",
            Self::Rate => "rate",
        }
    }
}
