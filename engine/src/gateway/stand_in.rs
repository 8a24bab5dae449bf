//! What issuers give is not there before the first start: a rehearsal, which asks nobody, goes on with certificates of the
//! same names that nobody believes, where the start would not go on without.

use std::path::Path;

use control::assemble::ChainFiles;
use control::obtain::Wanted;
use rcgen::{CertificateParams, KeyPair, SanType};
use tempfile::TempDir;

use super::Plan;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};

/// The stand-ins, as long as they are needed.
pub struct StandIns {
    _directory: TempDir,
    /// What an operator should know of them.
    pub warnings: Vec<String>,
}

/// Puts them in the place of what has not been obtained yet.
pub fn put(plan: &mut Plan) -> Result<StandIns, Failure> {
    let directory = tempfile::tempdir().map_err(Failure::new)?;
    let mut warnings = Vec::new();
    let missing: Vec<Wanted> = plan.obtained.iter().filter(|wanted| !wanted.file.exists()).cloned().collect();
    for (number, wanted) in missing.iter().enumerate() {
        warnings.push(wanted.missing());
        if wanted.source.comes_while_serving() {
            continue;
        }
        let file = directory.path().join(format!("{number}.pem"));
        make(wanted, &file)?;
        let (before, after) = (wanted.files(), ChainFiles::given(file.clone(), file));
        plan.certificates().filter(|files| **files == before).for_each(|files| *files = after.clone());
    }
    Ok(StandIns { _directory: directory, warnings })
}

fn make(wanted: &Wanted, file: &Path) -> Result<(), Failure> {
    let mut params = CertificateParams::default();
    let names = wanted.names.iter().map(SanType::try_from).collect::<Result<_, _>>();
    params.subject_alt_names = names.map_err(Failure::new)?;
    let key = KeyPair::generate().map_err(Failure::new)?;
    let certificate = params.self_signed(&key).map_err(Failure::new)?;
    let text = certificate.pem() + &key.serialize_pem();
    files::write(file, text.as_bytes(), Access::OwnerOnly, Existing::Refuse).map_err(Failure::new)
}
