//! Tables without borders, which fit a terminal and can be cut up by scripts.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};

/// A table with these columns; those whose names begin with `>` are aligned to the right.
pub(super) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let names = columns.iter().map(|name| name.trim_start_matches('>'));
    table.set_header(names.map(str::to_uppercase));
    let last = columns.len().saturating_sub(1);
    for (index, name) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, if index == last { 0 } else { 2 }));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// The lines of a table, each with an end and without spaces before it.
pub(super) fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Milliseconds in few digits and a unit, such as `850ms`, `2.5s`, `12s`, `15m`, `30h` and `12d`.
pub(super) fn short_duration(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms}ms"),
        1_000..=9_999 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        10_000..=599_999 => format!("{}s", ms / 1_000),
        600_000..=35_999_999 => format!("{}m", ms / 60_000),
        36_000_000..=863_999_999 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

/// Bytes in at most four digits and a unit of 1,000 each.
pub(super) fn short_bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999_999_999 => format!("{}MB", bytes / 1_000_000),
        _ => format!("{}GB", bytes / 1_000_000_000),
    }
}

/// A count in at most four digits and a unit of 1,000 each.
pub(super) fn short_count(count: u64) -> String {
    match count {
        0..=99_999 => count.to_string(),
        100_000..=99_999_999 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_few_digits() {
        for (ms, told) in [
            (0, "0ms"),
            (999, "999ms"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (600_000, "10m"),
            (36_000_000, "10h"),
            (864_000_000, "10d"),
        ] {
            assert_eq!(short_duration(ms), told);
        }
        assert_eq!(short_count(99_999), "99999");
        assert_eq!(short_count(123_456), "123k");
        assert_eq!(short_bytes(4_000_000), "4MB");
    }

    #[test]
    fn numbers_are_aligned_to_the_right_and_lines_end_without_spaces() {
        let mut table = table(&["name", ">count"]);
        table.add_row(["a", "7"]);
        table.add_row(["longer", "1200"]);
        assert_eq!(
            lines(&table),
            "NAME    COUNT\na           7\nlonger   1200\n"
        );
    }
}
