//! `loadtest origin`.

use std::io::Write;
use std::net::SocketAddr;

use loadtest::failure::Failure;
use loadtest::origin::Origin;

/// A minimal fast origin.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Bytes of content of each response.
    #[arg(long, default_value_t = 128)]
    content_bytes: usize,
    #[arg(long)]
    core: Option<usize>,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let origin = Origin::bind(self.listen, self.content_bytes)?;
        super::print(out, &format!("listening http://{}\n", origin.address()?))?;
        super::on_core_if(self.core, || origin.serve())
    }
}
