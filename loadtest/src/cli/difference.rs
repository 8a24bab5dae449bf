//! `loadtest difference`: whether two earlier runs differ beyond noise.

use std::io::Write;
use std::path::PathBuf;

use loadtest::difference::difference;
use loadtest::failure::Failure;
use loadtest::results;

/// Says for each row whether two earlier runs differ beyond noise, and refuses where the machine was too noisy.
#[derive(clap::Args)]
#[command(after_help = "Example: loadtest difference before.json after.json")]
pub struct Arguments {
    #[arg(value_name = "A.json")]
    first: PathBuf,
    #[arg(value_name = "B.json")]
    second: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let found = difference(&results::read(&self.first)?, &results::read(&self.second)?);
        if !self.json {
            return super::print(out, &found.text());
        }
        let text = serde_json::to_string_pretty(&found).map_err(|error| Failure::Subject(error.to_string()))?;
        super::print(out, &format!("{text}\n"))
    }
}
