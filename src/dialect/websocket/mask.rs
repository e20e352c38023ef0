//! Masking (RFC 6455 §5.3).

/// XORs `payload` with `mask`, whose first byte belongs to the first byte of `payload`.
///
/// Eight bytes at a time, which the compiler turns into vector instructions; tungstenite's own is private, and uses `unsafe`.
pub(super) fn apply(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The mask for what follows `count` bytes of a payload.
pub(super) fn advance(mut mask: [u8; 4], count: usize) -> [u8; 4] {
    mask.rotate_left(count % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_split_anywhere_equals_byte_by_byte() {
        let mask = [0x12, 0x34, 0x56, 0x78];
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            for split in 0..=plain.len() {
                let mut masked = plain.clone();
                let (head, tail) = masked.split_at_mut(split);
                apply(head, mask);
                apply(tail, advance(mask, split));
                assert_eq!(masked, expected, "length {length}, split at {split}");
            }
        }
    }
}
