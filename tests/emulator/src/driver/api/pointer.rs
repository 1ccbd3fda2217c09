//! What C passes: pointers, each wrapped by what may be done with it. The only file that follows them.
//!
//! These types come out of calls: a call is `unsafe`, its caller promises what the driver API asks (a pointer is null, or points to what the
//! argument is documented to be, for as long as the driver may use it), and the wrappers rely on nothing else. So they are safe to use.

#![expect(unsafe_code, reason = "the boundary to C")]

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use super::super::code::Code;

/// Where a result goes.
#[repr(transparent)]
#[derive(Debug)]
pub struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Out<T> {
    /// Stores a result.
    ///
    /// # Errors
    /// `INVALID_VALUE` when the client gave nowhere to store it.
    pub fn set(self, value: T) -> Result<(), Code> {
        self.needed()?;
        self.offer(value);
        Ok(())
    }

    /// Stores a result if it is wanted.
    pub fn offer(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not null, so a place for a T, as the caller promised; it need not be aligned.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// Whether the client gave somewhere to store it, before work is done for it.
    ///
    /// # Errors
    /// `INVALID_VALUE` when it did not.
    pub fn needed(self) -> Result<(), Code> {
        if self.0.is_null() { Err(Code::INVALID_VALUE) } else { Ok(()) }
    }

    /// Stores the next of several results.
    pub fn put(self, index: usize, value: T) {
        if !self.0.is_null() {
            // SAFETY: as for `offer`; the caller promised as many as it said.
            unsafe { self.0.add(index).write_unaligned(value) };
        }
    }
}

impl<T> From<&mut T> for Out<T> {
    fn from(place: &mut T) -> Self {
        Self(place)
    }
}

impl<T> Out<T> {
    /// A null pointer.
    pub const NULL: Self = Self(std::ptr::null_mut());

    /// A place at an address which the client gave.
    pub(super) fn at(address: usize) -> Self {
        Self(address as *mut T)
    }

    /// The same values, to read before they are replaced.
    pub fn read(self) -> In<T> {
        In(self.0)
    }
}

/// Values to read: an array, or one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct In<T>(*const T);

impl<T> In<T> {
    /// A null pointer.
    pub const NULL: Self = Self(std::ptr::null());

    /// Values that begin at an address which the client gave.
    pub(super) fn at(address: usize) -> Self {
        Self(address as *const T)
    }

    /// Where they begin.
    pub(super) fn address(&self) -> usize {
        self.0 as usize
    }
}

impl<T: Copy> In<T> {
    /// The value of an index, which the caller promised to be there; None of a null pointer.
    pub fn get(self, index: usize) -> Option<T> {
        // SAFETY: not null, so as many values as the caller promised; they need not be aligned.
        (!self.0.is_null()).then(|| unsafe { self.0.add(index).read_unaligned() })
    }
}

impl<T> From<&[T]> for In<T> {
    fn from(values: &[T]) -> Self {
        Self(values.as_ptr())
    }
}

/// A string that ends with a zero.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Text(*const c_char);

impl Text {
    /// What it says; None of a null pointer.
    pub fn read(self) -> Option<String> {
        // SAFETY: not null, so a string that ends, as the caller promised.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned())
    }
}

impl From<&CStr> for Text {
    fn from(text: &CStr) -> Self {
        Self(text.as_ptr())
    }
}

/// A string of the emulator's that lives for ever.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Static(*const c_char);

impl Static {
    /// A null pointer.
    pub const NULL: Self = Self(std::ptr::null());

    /// A string of the driver's that lives as long as what it names.
    pub(super) fn of(text: &CStr) -> Self {
        Self(text.as_ptr())
    }

    /// What it says; None of a null pointer.
    pub fn read(self) -> Option<&'static str> {
        // SAFETY: not null, so made of a static string.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) }.to_str().unwrap_or_default())
    }
}

impl From<&'static CStr> for Static {
    fn from(text: &'static CStr) -> Self {
        Self(text.as_ptr())
    }
}

/// Memory of the client's own: read and written when a copy runs, which the client promised to keep until then.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(usize);

impl Client {
    /// A null pointer.
    pub const NULL: Self = Self(0);

    /// Memory that begins at an address.
    pub(in super::super) fn at(address: usize) -> Self {
        Self(address)
    }

    /// Where it begins.
    pub fn address(self) -> usize {
        self.0
    }

    /// Fills bytes from it.
    pub(in super::super) fn read(self, into: &mut [u8]) {
        // SAFETY: as many bytes are the client's, as it promised when it asked for a copy of them.
        unsafe { std::ptr::copy(self.0 as *const u8, into.as_mut_ptr(), into.len()) };
    }

    /// Stores bytes into it.
    pub(in super::super) fn write(self, from: &[u8]) {
        // SAFETY: as for `read`.
        unsafe { std::ptr::copy(from.as_ptr(), self.0 as *mut u8, from.len()) };
    }
}

impl<T> From<&mut [T]> for Client {
    fn from(place: &mut [T]) -> Self {
        Self(place.as_mut_ptr() as usize)
    }
}

/// A module as it is passed to `cuModuleLoadData`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Image(*const u8);

/// What an image is.
#[derive(Debug)]
pub(in super::super) enum Content {
    /// An ELF file for this machine: 190 is CUDA.
    Elf(u16),
    /// Several images in one.
    FatBinary,
    /// Perhaps PTX.
    Text(String),
}

impl Image {
    /// Looks what it is; None of a null pointer.
    pub(in super::super) fn read(self) -> Option<Content> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: not null, so an image; a byte that differs from the magic number ends the comparison before a string could end.
        let begins = |magic: &[u8]| magic.iter().enumerate().all(|(at, byte)| unsafe { *self.0.add(at) } == *byte);
        if begins(b"\x7fELF") {
            // SAFETY: an ELF file has a whole header, where the machine is at 18.
            return Some(Content::Elf(unsafe { u16::from_le_bytes([*self.0.add(18), *self.0.add(19)]) }));
        }
        if begins(&[0x50, 0xED, 0x55, 0xBA]) {
            return Some(Content::FatBinary);
        }
        Text(self.0.cast()).read().map(Content::Text)
    }

    /// So many bytes of it as text, up to a zero; None of a null pointer.
    pub(super) fn text(self, size: usize) -> Option<String> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: as many bytes as the caller promised.
        let bytes = unsafe { std::slice::from_raw_parts(self.0, size) };
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(size);
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

impl From<&[u8]> for Image {
    fn from(bytes: &[u8]) -> Self {
        Self(if bytes.is_empty() { std::ptr::null() } else { bytes.as_ptr() })
    }
}

type HostFunction = unsafe extern "C" fn(*mut c_void);
type StreamCallback = unsafe extern "C" fn(usize, Code, *mut c_void);

/// A function of the client's, with what it is called with.
#[derive(Clone, Copy, Debug)]
pub struct Callback {
    function: Function,
    data: usize,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Host(HostFunction),
    Stream(StreamCallback, usize),
}

impl Callback {
    pub(super) fn host(function: Option<HostFunction>, data: usize) -> Result<Self, Code> {
        Ok(Self { function: Function::Host(function.ok_or(Code::INVALID_VALUE)?), data })
    }

    pub(super) fn stream(function: Option<StreamCallback>, stream: usize, data: usize) -> Result<Self, Code> {
        Ok(Self { function: Function::Stream(function.ok_or(Code::INVALID_VALUE)?, stream), data })
    }

    /// Calls it. Calls of the driver that it makes are refused.
    pub(in super::super) fn call(&self) {
        let _inside = super::Inside::enter();
        let data = self.data as *mut c_void;
        // SAFETY: the client gave the function to be called with this.
        unsafe {
            match self.function {
                Function::Host(function) => function(data),
                Function::Stream(function, stream) => function(stream, Code::SUCCESS, data),
            }
        }
    }
}

/// The function of `cuOccupancyMaxPotentialBlockSize` that says how much shared memory a block of so many threads needs.
pub type SharedOfBlock = Option<unsafe extern "C" fn(i32) -> usize>;

/// Calls it.
pub(super) fn shared_of_block(function: SharedOfBlock, threads: u32) -> Option<usize> {
    // SAFETY: the client gave the function to be called with numbers of threads.
    function.map(|function| unsafe { function(threads as i32) })
}

/// The place of a function, as `cuGetProcAddress` gives it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Address(pub(super) *const (), PhantomData<fn()>);

impl Address {
    /// Of a function that is not there.
    pub const NULL: Self = Self(std::ptr::null(), PhantomData);

    pub(super) fn of(function: *const ()) -> Self {
        Self(function, PhantomData)
    }

    /// Whether there is none.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }
}
