//! Tables and statistics.

/// Prints a row of a table.
pub fn row<T: AsRef<str>>(cells: &[T]) {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    println!("| {} |", cells.join(" | "));
}

/// Prints the first two lines of a table.
pub fn head<T: AsRef<str>>(cells: &[T]) {
    row(cells);
    println!("|{}", "---|".repeat(cells.len()));
}

/// The value that this part of all, from 0 to 1, does not exceed. Of none, nothing.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let index = (part * last as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}
