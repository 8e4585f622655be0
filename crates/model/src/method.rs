//! What a method's name may look like. Pure.

/// Longest method name, bytes.
pub const MAX_NAME_BYTES: usize = crate::limits::METHOD_NAME_BYTES;

/// It becomes one level of a topic and part of an HTTP header. The error says the rule.
pub fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(good) {
        return Ok(());
    }
    let short: String = name.chars().take(80).collect();
    Err(format!("method name {short:?} must be 1 to {MAX_NAME_BYTES} letters, digits, - _ . or ~"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_method_name_fits_one_level_of_a_topic() {
        let long = "x".repeat(129);
        for (name, fits) in
            [("dim", true), ("a.b-c_d~2", true), ("", false), ("a/b", false), ("a+", false), (&long, false)]
        {
            assert_eq!(super::check_name(name).is_ok(), fits, "{name}");
        }
    }
}
