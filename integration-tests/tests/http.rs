//! The HTTP API of a whole node: answers, access, limits and operation.

mod access;
mod answers;
mod limits;
mod operation;

use serde_json::Value;

fn error(answer: &Value) -> &str {
    answer["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}
