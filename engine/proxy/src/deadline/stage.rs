//! What a time limit is for, and what its end means for the exchange.

use policy::reason::Reason;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Handshake,
    /// For the first request of a connection.
    First,
    /// For the next request.
    Idle,
    Head,
    Content,
    OriginFirstByte,
    OriginContent,
    Exchange,
    /// The activation that the exchange runs on was ended.
    Activation,
    /// The client's certificate has expired.
    Certificate,
    /// What it stands on is in the revocation list, for that reason.
    Withdrawn(Reason),
    Linger,
}

impl Stage {
    /// Why the exchange as a whole ends whose limit this was; none where it was that of one side.
    pub fn ends_exchange(self) -> Option<Reason> {
        match self {
            Self::Exchange => Some(Reason::ExchangeTimeout),
            Self::Activation => Some(Reason::ActivationEnded),
            Self::Certificate => Some(Reason::CertificateExpired),
            Self::Withdrawn(reason) => Some(reason),
            _ => None,
        }
    }
}
