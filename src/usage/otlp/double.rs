//! The one place where a float is met on the way of money: protobuf carries an amount as the eight bytes of a double, so
//! that is all there is of it. It is turned at once into the shortest decimal that names the same double, which is what the
//! sender's JSON would have said; from there on it is text like everything else.

/// The shortest decimal, or nothing where the bits are no number.
pub fn shortest(bits: u64) -> Option<String> {
    let double = f64::from_bits(bits);
    let plain = double.is_finite().then(|| double.to_string())?;
    // Very large and very small ones are written with an exponent, or they would be hundreds of digits long.
    Some(if plain.len() <= 40 { plain } else { format!("{double:e}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_the_decimal_that_was_meant() {
        for text in ["0", "0.1369135", "0.00000885", "13", "-0.5", "0.000001979964", "1234567.25"] {
            let double: f64 = text.parse().unwrap();
            assert_eq!(shortest(double.to_bits()).unwrap(), text);
        }
        assert_eq!(shortest(1e-300_f64.to_bits()).unwrap(), "1e-300");
        assert_eq!(shortest(f64::NAN.to_bits()), None);
        assert_eq!(shortest(f64::INFINITY.to_bits()), None);
    }
}
