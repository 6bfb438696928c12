//! babelmesh.
