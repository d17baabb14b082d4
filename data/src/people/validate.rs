//! What names, addresses and passwords may be.

use super::PeopleError;

fn invalid<T>(field: &'static str, message: &str) -> Result<T, PeopleError> {
    Err(PeopleError::Invalid { field, message: message.to_owned() })
}

/// A user name: 2 to 64 letters, digits, dots, underscores and hyphens.
pub(super) fn username(text: &str) -> Result<(), PeopleError> {
    let fits = (2..=64).contains(&text.len());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match fits && text.bytes().all(allowed) {
        true => Ok(()),
        false => invalid("username", "a user name is 2 to 64 of the characters a-z, 0-9, '.', '_' and '-'"),
    }
}

/// A password: 10 to 256 characters.
pub(super) fn password(text: &str) -> Result<(), PeopleError> {
    match (10..=256).contains(&text.chars().count()) {
        true => Ok(()),
        false => invalid("password", "a password has 10 to 256 characters"),
    }
}

/// A name to show, trimmed: 1 to 100 characters in one line.
pub(super) fn shown_name(field: &'static str, text: &str) -> Result<String, PeopleError> {
    let trimmed = text.trim();
    let fits = (1..=100).contains(&trimmed.chars().count()) && !trimmed.chars().any(char::is_control);
    match fits {
        true => Ok(trimmed.to_owned()),
        false => invalid(field, "a name has 1 to 100 characters, in one line"),
    }
}

/// An e-mail address, trimmed: something on both sides of one `@`, at most 254 bytes.
pub(super) fn email(text: &str) -> Result<String, PeopleError> {
    let trimmed = text.trim();
    let plain = trimmed.len() <= 254 && !trimmed.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = trimmed.split_once('@');
    match parts {
        Some((local, host)) if plain && !local.is_empty() && !host.is_empty() && !host.contains('@') => {
            Ok(trimmed.to_owned())
        }
        _ => invalid("email", "an e-mail address looks like name@example.org and has at most 254 characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T>(outcome: Result<T, PeopleError>) -> Option<&'static str> {
        match outcome {
            Err(PeopleError::Invalid { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn the_acceptable_is_accepted_and_the_rest_is_named() {
        for good in ["ab", "Olga.Meyer-2_x", &"x".repeat(64)] {
            username(good).unwrap();
        }
        for bad in ["", "a", "a b", "ä-b", "a@b", "a/b", &"x".repeat(65)] {
            assert_eq!(field(username(bad)), Some("username"), "{bad:?}");
        }
        password("ten chars!").unwrap();
        password(&"ä".repeat(256)).unwrap();
        for bad in ["", "nine char", &"x".repeat(257)] {
            assert_eq!(field(password(bad)), Some("password"), "{bad:?}");
        }
        assert_eq!(shown_name("name", "  Olga Meyer ").unwrap(), "Olga Meyer");
        for bad in ["", "   ", "two\nlines", &"x".repeat(101)] {
            assert_eq!(field(shown_name("organization", bad)), Some("organization"), "{bad:?}");
        }
        assert_eq!(email(" a@b.org ").unwrap(), "a@b.org");
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", &format!("{}@b", "x".repeat(254))] {
            assert_eq!(field(email(bad)), Some("email"), "{bad:?}");
        }
    }
}
