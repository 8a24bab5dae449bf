//! `adamant schema`: the JSON Schema of a policy source, so that editors complete it.

use std::io::{self, Write};

use crate::failure::Failure;

pub fn run(out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, &policy_source::schema()).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
