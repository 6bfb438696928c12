//! Terms as tables: CSV and TSV, one term in a line.

use babelmesh_domain::{Language, Term};

/// Form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableFormat {
    /// Separated by tabs. A line that is quoted follows the rules of CSV.
    #[default]
    Tsv,
    /// Separated by commas, with quotes as in RFC 4180. Two more columns may name the languages.
    Csv,
}

/// Why a table cannot be read. No message quotes a term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A row does not have the columns that it should have.
    #[error("row {row} has {columns} columns instead of {expected}")]
    Columns {
        /// Number of the row, from 1.
        row: usize,
        /// How many columns it has.
        columns: usize,
        /// How many it should have.
        expected: &'static str,
    },
    /// A row is for other languages.
    #[error("row {row} is for other languages than the dictionary")]
    Languages {
        /// Number of the row, from 1.
        row: usize,
    },
    /// The table is malformed.
    #[error("row {row} is malformed")]
    Malformed {
        /// Number of the row, from 1.
        row: usize,
    },
    /// There are more rows than the limit.
    #[error("there are more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Reads at most so many terms of a pair of languages; without the pair, no row may name languages. White space around terms is dropped,
/// and so are empty lines. What the terms hold is not checked.
///
/// # Errors
/// The first row that is wrong.
pub fn read(
    table: &str,
    format: TableFormat,
    pair: Option<(Language, Language)>,
    limit: usize,
) -> Result<Vec<Term>, TableError> {
    let table = table.strip_prefix('\u{feff}').unwrap_or(table);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(match format {
            TableFormat::Tsv => b'\t',
            TableFormat::Csv => b',',
        })
        .from_reader(table.as_bytes());
    let mut terms = Vec::new();
    for (record, row) in reader.records().zip(1..) {
        let record = record.map_err(|_| TableError::Malformed { row })?;
        let columns: Vec<&str> = record.iter().collect();
        if columns.iter().all(|column| column.is_empty()) {
            continue;
        }
        let [source, target, languages @ ..] = columns.as_slice() else {
            return Err(wrong_columns(row, columns.len(), format));
        };
        match (languages, format) {
            ([], _) => {}
            ([from, to], TableFormat::Csv) => {
                let named = from.parse().ok().zip(to.parse().ok());
                if named.is_none() || named != pair {
                    return Err(TableError::Languages { row });
                }
            }
            _ => return Err(wrong_columns(row, columns.len(), format)),
        }
        if terms.len() == limit {
            return Err(TableError::TooMany { limit });
        }
        terms.push(Term::new(*source, *target));
    }
    Ok(terms)
}

fn wrong_columns(row: usize, columns: usize, format: TableFormat) -> TableError {
    let expected = match format {
        TableFormat::Tsv => "2",
        TableFormat::Csv => "2 or 4",
    };
    TableError::Columns {
        row,
        columns,
        expected,
    }
}

/// Writes terms as TSV, without a line break at the end. A term with a quote is quoted.
#[must_use]
pub fn write_tsv(terms: &[Term]) -> String {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .delimiter(b'\t')
        .from_writer(Vec::new());
    for term in terms {
        // Memory does not fail, and each record has two columns.
        let _ = writer.write_record([&term.source, &term.target]);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    let mut table = String::from_utf8(bytes).unwrap_or_default();
    table.truncate(table.trim_end_matches('\n').len());
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair() -> Option<(Language, Language)> {
        Some(("en".parse().unwrap(), "de".parse().unwrap()))
    }

    fn terms(pairs: &[(&str, &str)]) -> Vec<Term> {
        pairs.iter().map(|(s, t)| Term::new(*s, *t)).collect()
    }

    #[test]
    fn tables_follow_the_rules_of_csv() {
        let csv = |table| read(table, TableFormat::Csv, pair(), 10);
        let expected = terms(&[("a, b", "c \"d\""), ("x", "y")]);
        assert_eq!(
            csv("\"a, b\",\"c \"\"d\"\"\"\r\n\n x , y,EN,de"),
            Ok(expected)
        );
        assert_eq!(csv("\u{feff}a,b"), Ok(terms(&[("a", "b")])));
        assert_eq!(csv("a,b,en,fr"), Err(TableError::Languages { row: 1 }));
        for table in ["a", "a,b,c", "a,b,en,de,x"] {
            assert!(matches!(
                csv(table),
                Err(TableError::Columns { row: 1, .. })
            ));
        }
        let tsv = |table| read(table, TableFormat::Tsv, pair(), 2);
        assert_eq!(tsv("a, b\tc"), Ok(terms(&[("a, b", "c")])));
        assert!(matches!(
            tsv("a\tb\ten\tde"),
            Err(TableError::Columns { .. })
        ));
        assert_eq!(
            tsv("a\tb\nc\td\ne\tf"),
            Err(TableError::TooMany { limit: 2 })
        );
        assert_eq!(tsv(" \n"), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn terms_survive_a_table(pairs in prop::collection::vec(("[a-z\",' é]{0,6}x", "y[a-z\", é]{0,6}z"), 0..6)) {
            let terms: Vec<_> = pairs.into_iter().map(|(s, t)| Term::new(s.trim(), t)).collect();
            let table = write_tsv(&terms);
            prop_assert_eq!(read(&table, TableFormat::Tsv, pair(), 10), Ok(terms));
        }

        #[test]
        fn no_table_makes_reading_panic(table in "(\\PC|[\\t\\n\",]){0,60}") {
            let _ = read(&table, TableFormat::Csv, pair(), 10);
            let _ = read(&table, TableFormat::Tsv, pair(), 10);
        }
    }
}
