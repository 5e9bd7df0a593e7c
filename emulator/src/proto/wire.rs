//! Protobuf's wire format, read and refused as Go's generated code does.

use super::ProtoError;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LENGTH: u8 = 2;
const START_GROUP: u8 = 3;
const END_GROUP: u8 = 4;
const FIXED32: u8 = 5;

/// The fields of one message, in order.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Number and wire type of the next field; none at the end.
    pub(super) fn tag(&mut self, message: &'static str) -> Result<Option<(u32, u8)>, ProtoError> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire = (tag & 7) as u8;
        if wire == END_GROUP {
            return Err(ProtoError::EndGroup(message));
        }
        // Go keeps the number's lower 32 bits.
        match (tag >> 3) as i32 {
            number @ 1.. => Ok(Some((number.unsigned_abs(), wire))),
            number => Err(ProtoError::IllegalTag { message, number, wire }),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, ProtoError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(ProtoError::UnexpectedEof)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ProtoError::Overflow)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], ProtoError> {
        let length = self.varint()?;
        if length > i64::MAX.unsigned_abs() {
            return Err(ProtoError::NegativeLength);
        }
        let length = usize::try_from(length).map_err(|_| ProtoError::UnexpectedEof)?;
        self.take(length)
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, ProtoError> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtoError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtoError::UnexpectedEof)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Passes over a field that is not known; groups end where they began, however deep.
    pub(super) fn skip(&mut self, mut wire: u8) -> Result<(), ProtoError> {
        let mut depth = 0_usize;
        loop {
            match wire {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.take(8)?),
                LENGTH => drop(self.bytes()?),
                FIXED32 => drop(self.take(4)?),
                START_GROUP => depth += 1,
                END_GROUP => depth = depth.checked_sub(1).ok_or(ProtoError::UnexpectedEndGroup)?,
                _ => return Err(ProtoError::IllegalWire(wire)),
            }
            if depth == 0 {
                return Ok(());
            }
            wire = (self.varint()? & 7) as u8;
        }
    }
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_tag(number: u32, wire: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire), out);
}

pub(super) fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_tag(number, LENGTH, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Integers are written as 64 bits, whatever their type: a negative one takes ten bytes.
pub(super) fn put_integer(number: u32, value: i64, out: &mut Vec<u8>) {
    put_tag(number, VARINT, out);
    put_varint(value as u64, out);
}

/// The value as Go's `int64(v)` and `int32(v)` have it: what does not fit is cut off.
pub(super) fn signed(value: u64, narrow: bool) -> i64 {
    if narrow { i64::from(value as i32) } else { value as i64 }
}
