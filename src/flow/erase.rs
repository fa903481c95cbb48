//! Erasing a name: personal data goes, the chain stays whole. The text of the name is taken away and so are the accounts
//! that are called after it; their numbers stay in every entry, and reports show them as `erased #n`. The same name sent
//! again is a new one. What is sealed in an event or written in a catalog cannot go; how much of it there is is told.

use crate::catalog::rules::Rules;
use crate::flow::{Farthing, FlowError};
use crate::id::{NameId, Org};
use crate::ledger::bearers_of;
use crate::store::{NameKind, OWNER_KINDS, Remains};
use crate::usage::OwnerDimension;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    pub name: NameId,
    /// The accounts that were called after it.
    pub accounts: Vec<NameId>,
    /// Bodies of what was no event that went with it.
    pub rejected: u64,
    pub remains: Remains,
}

impl Farthing {
    /// Erases a name of one kind. Running it twice says that there is no such name.
    pub async fn erase_name(&self, org: Org, kind: &str, text: &str) -> Result<Erased, FlowError> {
        let known = NameKind::OF_PERSONS.map(|(name, _)| name).join(", ");
        let unknown = || FlowError::Refused(format!("`{kind}` cannot be erased; what can is {known}"));
        let of = NameKind::of_person(kind).ok_or_else(unknown)?;
        let mut books = self.books.lock().await;
        self.store.overwrite_what_is_deleted(true).await?;
        let erased = self.erase(org, of, kind, text).await;
        self.store.overwrite_what_is_deleted(false).await?;
        // Every other process learns from the head of the book that its memory of names is old.
        books.remove(&org);
        drop(books);
        let erased = erased?;
        self.store.overwrite_erased().await?;
        Ok(Erased { remains: self.store.remains(org, text).await?, ..erased })
    }

    async fn erase(&self, org: Org, of: NameKind, kind: &str, text: &str) -> Result<Erased, FlowError> {
        let mut write = self.store.begin().await?;
        let head = write.lock_heads(&[org]).await?.remove(0);
        let in_force = self.load_version(org, head.version).await?;
        let makes = [Rules::default().cost().to_vec(), in_force.catalog.rules().cost().to_vec()];
        let makes: Vec<&[OwnerDimension]> = makes.iter().map(Vec::as_slice).collect();
        let found = write.find_names(org, of, &[text.to_owned()]).await?;
        let name = *found.get(text).ok_or_else(|| FlowError::NotThere(format!("no {kind} is called `{text}`")))?;
        let accounts = write.names_of_kind(org, NameKind::Account).await?.into_iter();
        let accounts: Vec<NameId> =
            accounts.filter(|(_, account)| is_called_after(account, &makes, of, text)).map(|(number, _)| number).collect();
        let names: Vec<NameId> = std::iter::once(name).chain(accounts.iter().copied()).collect();
        write.erase_names(org, &names).await?;
        let rejected = write.erase_from_rejected(org, text).await?;
        write.commit().await?;
        Ok(Erased { name, accounts, rejected, remains: Remains::default() })
    }
}

/// Whether an account of costs names somebody, where such accounts are made of these dimensions.
fn is_called_after(account: &str, makes: &[&[OwnerDimension]], kind: NameKind, text: &str) -> bool {
    let Some(bearers) = bearers_of(account) else { return false };
    makes.iter().filter(|make| make.len() == bearers.len()).any(|make| {
        let mut parts = make.iter().zip(&bearers);
        parts.any(|(dimension, bearer)| OWNER_KINDS[*dimension as usize] == kind && bearer == text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accounts_of_that_very_name_are_called_after_it() {
        let called = |account, kind| is_called_after(account, &[&[OwnerDimension::Team, OwnerDimension::User]], kind, "al/ice");
        assert!(called("cost:search/al%2Fice", NameKind::User));
        assert!(called("cost:al%2Fice/-", NameKind::Team));
        assert!(!called("cost:al%2Fice/bob", NameKind::User), "a team of that name is another");
        assert!(!called("cost:search/al/ice", NameKind::User));
        assert!(!called("payable:al%2Fice", NameKind::User));
    }
}
