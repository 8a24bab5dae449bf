//! `loadtest relay`.

use std::io::Write;
use std::net::SocketAddr;

use loadtest::failure::Failure;
use loadtest::relay::Relay;

/// The least that a gateway can do: a relay that parses nothing, the floor that gateways are measured against.
#[derive(clap::Args)]
#[command(after_help = "Example: loadtest relay --listen 127.0.0.1:8081 --origin 127.0.0.1:8080 --core 0")]
pub struct Arguments {
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where every connection leads.
    #[arg(long, value_name = "ADDRESS")]
    origin: SocketAddr,
    #[arg(long)]
    core: Option<usize>,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let relay = Relay::bind(self.listen, self.origin)?;
        super::print(out, &format!("listening http://{}\n", relay.address()?))?;
        super::on_core_if(self.core, || relay.serve())
    }
}
