//! Between f32 and the values of f16.

/// The low 16 bits as an f16.
pub(super) fn widen(bits: u32) -> f32 {
    let (sign, magnitude) = ((bits & 0x8000) << 16, (bits & 0x7FFF) << 13);
    let wide = if magnitude < 0x0F80_0000 {
        // In an f32's place its exponent is too small by a factor of 2^112, of subnormals as well.
        (f32::from_bits(magnitude) * f32::from_bits((112 + 127) << 23)).to_bits()
    } else {
        magnitude | 0x7F80_0000
    };
    f32::from_bits(sign | wide)
}

/// The nearest value of f16, of two the even one.
pub(super) fn round(value: f32) -> f32 {
    let bits = value.to_bits();
    let (sign, magnitude) = (bits & 0x8000_0000, bits & 0x7FFF_FFFF);
    let rounded = match magnitude {
        // Below 2^-14 a multiple of 2^-24, as f32 between 2^-1 and 1 are too: addition rounds to nearest even.
        ..0x3880_0000 => (f32::from_bits(magnitude) + 0.5 - 0.5).to_bits(),
        0x7F80_0000.. => magnitude,
        _ => {
            let nearest = (magnitude + 0xFFF + (magnitude >> 13 & 1)) & !0x1FFF;
            if nearest < 0x4780_0000 { nearest } else { 0x7F80_0000 }
        }
    };
    f32::from_bits(sign | rounded)
}

/// The bits of a value of f16; NaN has one form (recorded).
pub(super) fn narrow(value: f32) -> u32 {
    if value.is_nan() {
        return 0x7FFF;
    }
    let bits = value.to_bits();
    let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7FFF_FFFF);
    sign | match magnitude {
        0x7F80_0000.. => 0x7C00,
        0x3880_0000.. => (magnitude - (112 << 23)) >> 13,
        _ => (f32::from_bits(magnitude) * f32::from_bits((24 + 127) << 23)) as u32,
    }
}
