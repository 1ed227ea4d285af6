//! A simulated model that looks at images.

use async_trait::async_trait;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{
    Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Part, Role, data_of_url,
};
use promptopt_core::money::Usage;

use crate::ScriptedLm;
use crate::simulated::requested_fields;

/// How often it is right with an instruction alone, and how much more often with each demo, of up to three.
const RIGHT: u64 = 45;
const RIGHT_BY_DEMO: u64 = 15;

/// A deterministic model that names the colour of the last image in a request: the first label for red, the second for
/// green, the third for blue. It looks at the bytes, and says so where there are none. It is wrong now and then, less so
/// the more demos it is shown, so that there is something to optimize.
#[derive(Debug, Clone)]
pub struct LookingLm {
    labels: Vec<String>,
    seed: u64,
}

impl LookingLm {
    /// A model that answers with these labels, up to three.
    pub fn new(labels: impl IntoIterator<Item = impl Into<String>>, seed: u64) -> Self {
        Self { labels: labels.into_iter().map(Into::into).collect(), seed }
    }

    fn answer(&self, request: &LmRequest) -> Option<String> {
        let mut parts = request.messages.last()?.content.as_slice().iter().rev();
        let image = parts.find_map(|part| if let Part::Image(image) = part { Some(image) } else { None })?;
        let (_, bytes) = data_of_url(&image.url)?;
        let colour = colour(&bytes)?;
        let demos = request.messages.iter().filter(|message| message.role == Role::Assistant).count() as u64;
        let chance = ContentHash::of(&(self.seed, &bytes, demos.min(3))).as_u64() % 100;
        let is_right = chance < RIGHT + RIGHT_BY_DEMO * demos.min(3);
        self.labels.get((colour + usize::from(!is_right)) % self.labels.len().max(1)).cloned()
    }
}

#[async_trait]
impl LanguageModel for LookingLm {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("looking")
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        let answer = self.answer(request).unwrap_or_else(|| "I see no image.".to_owned());
        let fields = requested_fields(request);
        let name = fields.first().map_or("answer", String::as_str);
        let text = ScriptedLm::chat_reply([(name, answer.as_str())]);
        let said: usize = request.messages.iter().map(|message| message.text().len()).sum();
        let shown =
            request.messages.iter().map(|message| message.content.as_slice().len() as u64).sum::<u64>();
        Ok(LmReply::text(text, Usage::call(said as u64 / 4 + 85 * shown, 12)))
    }
}

/// Which of red, green and blue is the strongest in the first pixel of a PNG of whole blocks, as
/// [`png`](LookingLm::png) writes it.
fn colour(png: &[u8]) -> Option<usize> {
    let data = png.windows(4).position(|name| name == b"IDAT")? + 4;
    // Two bytes of the stream, five of its block and one of the row's filter.
    let pixel = png.get(data + 8..data + 11)?;
    (0..3).max_by_key(|channel| pixel.get(*channel))
}

impl LookingLm {
    /// A picture of one colour, as a PNG of so many pixels a side, up to 100.
    pub fn png(colour: [u8; 3], side: u8) -> Vec<u8> {
        let row = std::iter::once(0).chain(colour.into_iter().cycle().take(3 * usize::from(side)));
        let pixels: Vec<u8> = (0..side).flat_map(|_| row.clone()).collect();
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in &pixels {
            low = (low + u32::from(*byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        let length = u16::try_from(pixels.len()).unwrap_or(u16::MAX);
        let block = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &pixels];
        let stream = [&block.concat()[..], &(high << 16 | low).to_be_bytes()].concat();
        let size = u32::from(side).to_be_bytes();
        let header = [&size[..], &size, &[8, 2, 0, 0, 0]].concat();
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &stream), chunk(b"IEND", &[])]
            .concat()
    }
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [&name[..], data].concat();
    let sum = named.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &named, &(!sum).to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_colour() {
        for (colour_of, expected) in [([200, 3, 9], 0), ([3, 200, 9], 1), ([3, 9, 200], 2)] {
            assert_eq!(colour(&LookingLm::png(colour_of, 8)), Some(expected));
        }
        // The first chunk of every PNG of this size ends in this sum.
        let png = LookingLm::png([1, 2, 3], 1);
        assert_eq!(&png[29..33], [0x90, 0x77, 0x53, 0xde]);
        assert_eq!(colour(b"no picture"), None);
    }
}
