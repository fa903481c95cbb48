//! Integers that stay in memory for a while, each in as few bytes as the one farthest above the least of them needs.

/// As many integers as were put in, in their order.
#[derive(Debug)]
pub struct Narrow {
    least: i64,
    above: Above,
}

/// How far each is above the least.
#[derive(Debug)]
enum Above {
    /// All are the same.
    Nothing,
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u32>),
    /// They lie too far apart, and are kept as they are.
    Apart(Vec<i64>),
}

impl Narrow {
    pub fn of(values: impl Iterator<Item = i64> + Clone) -> Narrow {
        let Some(least) = values.clone().min() else { return Narrow { least: 0, above: Above::Nothing } };
        let above = values.clone().map(|value| value.abs_diff(least));
        // No cast can cut anything off: the largest of them was looked at.
        let above = match above.clone().max().unwrap_or_default() {
            0 => Above::Nothing,
            1..=0xff => Above::Bytes(above.map(|far| far as u8).collect()),
            0x100..=0xffff => Above::Shorts(above.map(|far| far as u16).collect()),
            0x1_0000..=0xffff_ffff => Above::Words(above.map(|far| far as u32).collect()),
            _ => return Narrow { least: 0, above: Above::Apart(values.collect()) },
        };
        Narrow { least, above }
    }

    /// The one at a place that something was put at.
    #[inline]
    pub fn get(&self, place: usize) -> i64 {
        self.least
            + match &self.above {
                Above::Nothing => 0,
                Above::Bytes(above) => i64::from(above[place]),
                Above::Shorts(above) => i64::from(above[place]),
                Above::Words(above) => i64::from(above[place]),
                Above::Apart(values) => values[place],
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(least: i64, bits in 0_u32..64, far in prop::collection::vec(any::<u64>(), 0..50)) {
            let values: Vec<i64> = far.into_iter().map(|far| least.saturating_add_unsigned(far >> bits)).collect();
            let narrow = Narrow::of(values.iter().copied());
            let out: Vec<i64> = (0..values.len()).map(|place| narrow.get(place)).collect();
            prop_assert_eq!(out, values);
        }
    }

    #[test]
    fn each_takes_no_more_room_than_the_farthest_needs() {
        let bytes = |values: &[i64]| match Narrow::of(values.iter().copied()).above {
            Above::Nothing => 0,
            Above::Bytes(_) => 1,
            Above::Shorts(_) => 2,
            Above::Words(_) => 4,
            Above::Apart(_) => 8,
        };
        for (far, room) in [(0, 0), (1, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (i64::from(u32::MAX), 4), (1 << 32, 8)]
        {
            assert_eq!(bytes(&[-7, far - 7]), room, "{far}");
        }
        assert_eq!((bytes(&[]), bytes(&[i64::MIN, i64::MAX])), (0, 8));
    }
}
