//! Checks the claim that fifty published configurations are compared with nginx.

use std::path::Path;

#[test]
fn fifty_published_configurations_are_compared() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/cases/published");
    let steps = |text: &str| {
        let is_step = |line: &&str| {
            let words = [
                "--- request",
                "--- then",
                "--- handshake",
                "--- check",
                "--- curl",
            ];
            words.iter().any(|word| line.starts_with(word))
        };
        text.lines().filter(is_step).count()
    };
    let compared: usize = std::fs::read_dir(cases)
        .expect("the cases")
        .map(|entry| std::fs::read_to_string(entry.expect("a case").path()).expect("text"))
        .map(|text| usize::from(steps(&text) > 0))
        .sum();
    assert!(compared >= 50, "{compared}");
}
