//! The questions that a comparison asks a table, whatever bytes it stands in.

use policy::decide::{Caller, Grant, Presented};
use policy::reason::Reason;
use policy::table::{
    ApiKeyIndex, CaIndex, CertificateNameRef, IssuerIndex, ProofId, RouteId, RouteOptions, ScopeId, Table,
    TokenProofId, TokenScopes,
};

/// A table, without the type of its bytes.
pub trait Look {
    fn caller(&self, presented: &Presented) -> Result<Caller, Reason>;
    fn grant(&self, caller: &Caller, scopes: &TokenScopes, route: RouteId) -> Option<Grant>;
    fn route(&self, host: &[u8], method: &[u8], path: &[u8]) -> Option<RouteId>;
    fn options(&self, route: RouteId) -> Option<RouteOptions>;
    fn certificate(&self, ca: u16, name: CertificateNameRef<'_>) -> Option<ProofId>;
    fn token(&self, issuer: u16, subject: &str) -> Option<TokenProofId>;
    fn api_key(&self, id: &str) -> Option<(ApiKeyIndex, ProofId)>;
    fn token_scopes(&self, names: &[&str]) -> TokenScopes;
    fn scope_name(&self, scope: ScopeId) -> &str;
}

impl<B: AsRef<[u8]>> Look for Table<B> {
    fn caller(&self, presented: &Presented) -> Result<Caller, Reason> {
        self.caller(presented)
    }

    fn grant(&self, caller: &Caller, scopes: &TokenScopes, route: RouteId) -> Option<Grant> {
        self.grant(caller, scopes, route)
    }

    fn route(&self, host: &[u8], method: &[u8], path: &[u8]) -> Option<RouteId> {
        self.route(host, method, path)
    }

    fn options(&self, route: RouteId) -> Option<RouteOptions> {
        self.route_options(route)
    }

    fn certificate(&self, ca: u16, name: CertificateNameRef<'_>) -> Option<ProofId> {
        self.proof_certificate(CaIndex(ca), name)
    }

    fn token(&self, issuer: u16, subject: &str) -> Option<TokenProofId> {
        self.proof_token(IssuerIndex(issuer), subject.as_bytes())
    }

    fn api_key(&self, id: &str) -> Option<(ApiKeyIndex, ProofId)> {
        self.proof_api_key(id.as_bytes())
    }

    fn token_scopes(&self, names: &[&str]) -> TokenScopes {
        self.token_scopes(names.iter().map(|name| name.as_bytes()))
    }

    fn scope_name(&self, scope: ScopeId) -> &str {
        self.scope_name(scope)
    }
}
