//! Integers that stay in memory for a while, each in as few bytes as the one farthest above the least of them needs.

/// Integers by their places.
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
    /// The same at every place.
    pub fn always(value: i64) -> Narrow {
        Narrow { least: value, above: Above::Nothing }
    }

    /// Those at some places of a list, in the order of the places.
    pub fn of<T: Copy + Into<i64>>(list: &[T], places: &[u32]) -> Narrow {
        let bounds = |(least, most): (i64, i64), value: i64| (least.min(value), most.max(value));
        let (least, most) = list.iter().map(|value| (*value).into()).fold((i64::MAX, i64::MIN), bounds);
        let values = places.iter().map(|place| list[*place as usize].into());
        let above = values.clone().map(|value| value.abs_diff(least));
        // No cast can cut anything off: the largest of them was looked at.
        let above = match most.abs_diff(least) {
            _ if list.is_empty() => return Narrow::always(0),
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
        fn what_was_put_in_comes_out(least: i64, bits in 0_u32..64, far in prop::collection::vec(any::<(u64, u32)>(), 0..50)) {
            let values: Vec<i64> = far.iter().map(|(far, _)| least.saturating_add_unsigned(far >> bits)).collect();
            let places: Vec<u32> = far.iter().map(|(_, place)| place % far.len() as u32).collect();
            let narrow = Narrow::of(&values, &places);
            let out: Vec<i64> = (0..places.len()).map(|place| narrow.get(place)).collect();
            prop_assert_eq!(out, places.iter().map(|place| values[*place as usize]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_takes_no_more_room_than_the_farthest_needs() {
        let bytes = |values: &[i64]| match Narrow::of(values, &(0..values.len() as u32).collect::<Vec<_>>()).above {
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
