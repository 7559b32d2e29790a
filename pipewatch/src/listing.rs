//! Some of many, in words.

/// So many items of a list are shown; the others are only counted.
const ITEMS: usize = 8;

/// A list as a sentence has it, with the word for one or for many before it.
pub fn list(one: &str, many: &str, items: &[impl ToString]) -> String {
    let mut words: Vec<String> = items.iter().take(ITEMS).map(ToString::to_string).collect();
    if items.len() > ITEMS {
        words.push(format!("{} more", items.len() - ITEMS));
    }
    let word = if items.len() == 1 { one } else { many };
    let text = match words.split_last() {
        None => return String::new(),
        Some((only, [])) => only.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    };
    if word.is_empty() {
        text
    } else {
        format!("{word} {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_some_are_shown_and_all_counted() {
        let pids = |count: u32| list("pid", "pids", &(1..=count).collect::<Vec<_>>());
        assert_eq!(
            [0, 1, 2, 8, 9].map(pids),
            [
                "",
                "pid 1",
                "pids 1 and 2",
                "pids 1, 2, 3, 4, 5, 6, 7 and 8",
                "pids 1, 2, 3, 4, 5, 6, 7, 8 and 1 more"
            ]
        );
        assert_eq!(list("", "", &["a", "b"]), "a and b");
    }
}
