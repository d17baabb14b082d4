//! WebSocket frames by hand (RFC 6455, section 5.2), since no library writes the ones that are not allowed.

/// A frame is whole.
pub(crate) const FIN: u8 = 0x80;
/// Opcodes.
pub(crate) const CONTINUE: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// What clients mask their payloads with, here always the same.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x0f, 0x96];
const MASKED: u8 = 0x80;

/// A frame that is masked, as every client's has to be; `first` is its first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = announcing(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The header of a masked frame of `length` bytes, none of which follow.
pub(crate) fn announcing(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(MASKED | length as u8),
        126..=0xffff => {
            header.push(MASKED | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(MASKED | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend(MASK);
    header
}

/// A short frame that is not masked, which only servers may send.
pub(crate) fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short payload");
    [&[first, length], payload].concat()
}

/// A close frame with a code and a reason.
pub(crate) fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}
