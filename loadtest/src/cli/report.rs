//! `loadtest report`: results of an earlier run, as a table or as a page.

use std::io::Write;
use std::path::PathBuf;

use loadtest::failure::Failure;
use loadtest::{report, results};

/// Shows the results of an earlier run: a table here, or with -o one self-contained HTML page.
#[derive(clap::Args)]
#[command(after_help = "Example: loadtest report results.json -o results.html")]
pub struct Arguments {
    /// What `loadtest compare` or `loadtest overhead` wrote.
    #[arg(value_name = "RESULTS.json")]
    results: PathBuf,
    /// Write the HTML page there.
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let results = results::read(&self.results)?;
        let Some(page) = self.output else { return super::print(out, &report::text(&results)) };
        results::replace(&page, report::html(&results).as_bytes())?;
        super::print(out, &format!("wrote {}\n", page.display()))
    }
}
