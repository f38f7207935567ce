//! Words of texts: what stands between blanks once letters are small and marks
//! of punctuation are blanks.

/// What a byte of a word becomes; 0 for what stands between words.
const LETTERS: [u8; 128] = {
    let mut letters = [0; 128];
    let mut byte = 0;
    while byte < letters.len() {
        let letter = byte as u8;
        if !is_between(letter) {
            letters[byte] = letter.to_ascii_lowercase();
        }
        byte += 1;
    }
    letters
};

const fn is_between(byte: u8) -> bool {
    matches!(
        byte,
        b'\t'
            ..=b'\r'
                | b' '
                | b':'
                | b';'
                | b'.'
                | b','
                | b'/'
                | b'\\'
                | b'&'
                | b'`'
                | b'"'
                | b'\''
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | 0
    )
}

/// Finds words, in room that is used again.
#[derive(Debug, Default)]
pub struct Words {
    room: Vec<u8>,
}

impl Words {
    /// Calls `take` with every word of the text; tells how many there are.
    pub fn each(&mut self, text: &str, mut take: impl FnMut(&[u8])) -> u64 {
        if !text.is_ascii() {
            return many(text, take);
        }
        self.room.clear();
        self.room
            .extend(text.bytes().map(|b| LETTERS[usize::from(b & 0x7f)]));
        let mut words = 0;
        for word in self.room.split(|b| *b == 0).filter(|word| !word.is_empty()) {
            words += 1;
            take(word);
        }
        words
    }
}

fn many(text: &str, mut take: impl FnMut(&[u8])) -> u64 {
    let small = text.to_lowercase();
    let is_gap = |c: char| c.is_whitespace() || u8::try_from(c).is_ok_and(is_between);
    let words = small.split(is_gap).filter(|word| !word.is_empty());
    words.map(|word| take(word.as_bytes())).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let count = Words::default().each(text, |word| {
            found.push(String::from_utf8(word.to_vec()).unwrap());
        });
        assert_eq!(count as usize, found.len());
        found
    }

    #[test]
    fn marks_stand_between_words() {
        assert_eq!(
            words("The quick, (brown) FOX"),
            ["the", "quick", "brown", "fox"]
        );
        assert_eq!(
            words("a/b\\c&d:e;f.g`h\"i'j[k]{l}"),
            "abcdefghijkl"
                .split("")
                .filter(|c| !c.is_empty())
                .collect::<Vec<_>>()
        );
        assert_eq!(words("e-mail user_1 #tag"), ["e-mail", "user_1", "#tag"]);
        assert_eq!(words("  .  "), Vec::<String>::new());
        assert_eq!(words("ÄRGER\u{3000}ΣΑΣ, ok"), ["ärger", "σας", "ok"]);
    }
}
