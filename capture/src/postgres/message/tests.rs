use super::*;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn messages_come_out_whole_however_they_are_cut() {
    let bytes = [message(b'd', b"hello"), message(b'Z', b"I")].concat();
    for cut in 0..bytes.len() {
        let mut buffer = ReceiveBuffer::new(1024);
        let mut seen = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            buffer.push(part);
            while let Some(frame) = buffer.frame().unwrap() {
                seen.push((frame.tag, frame.body.to_vec()));
                let size = frame.size();
                buffer.consume(size);
            }
        }
        assert_eq!(
            seen,
            [(b'd', b"hello".to_vec()), (b'Z', b"I".to_vec())],
            "cut at {cut}"
        );
    }
}

#[test]
fn a_huge_announced_length_is_refused_before_anything_is_reserved() {
    let mut buffer = ReceiveBuffer::new(LOGIN_MESSAGE_BYTES_MAX);
    buffer.push(&[b'R', 0x7f, 0xff, 0xff, 0xff]);
    assert!(matches!(
        buffer.frame(),
        Err(MessageError::TooLarge { tag: b'R', .. })
    ));
    buffer.spare();
    assert!(buffer.capacity() <= 2 * READ_BYTES);
}

#[test]
fn memory_follows_the_bytes_that_arrive() {
    let mut buffer = ReceiveBuffer::new(MESSAGE_BYTES_MAX);
    buffer.push(&[b'd', 0x3f, 0xff, 0xff, 0xff]);
    assert!(buffer.frame().unwrap().is_none());
    let mut arrived = 5;
    for _ in 0..100 {
        buffer.spare();
        assert!(
            buffer.capacity() <= 2 * arrived + 2 * READ_BYTES,
            "{} for {arrived}",
            buffer.capacity()
        );
        buffer.push(&[0; 50_000]);
        arrived += 50_000;
    }
}

#[test]
fn a_large_buffer_is_given_back_once_it_is_empty() {
    let mut buffer = ReceiveBuffer::new(MESSAGE_BYTES_MAX);
    buffer.push(&message(b'd', &vec![1; 8 << 20]));
    let size = buffer.frame().unwrap().unwrap().size();
    buffer.consume(size);
    buffer.spare();
    assert!(buffer.capacity() <= IDLE_BYTES_MAX);
}

#[test]
fn a_length_below_four_is_an_error() {
    let mut buffer = ReceiveBuffer::new(1024);
    buffer.push(&[b'Z', 0, 0, 0, 3]);
    assert_eq!(
        buffer.frame().unwrap_err(),
        MessageError::TooShort { tag: b'Z' }
    );
}

#[test]
fn data_rows_with_lengths_that_do_not_fit_are_errors() {
    let row = [&[0, 2][..], &[0, 0, 0, 1, b'x'], &[0xff; 4]].concat();
    assert_eq!(data_row(&row).unwrap(), [Some("x".to_owned()), None]);
    assert!(data_row(&row[..row.len() - 1]).is_err());
    assert!(data_row(&[0, 1, 0x7f, 0xff, 0xff, 0xff, b'x']).is_err());
    assert!(data_row(&[0, 0, 1]).is_err());
    assert!(data_row(&[]).is_err());
}

#[test]
fn replication_messages_are_read_in_place() {
    let xlog = [
        &b"w"[..],
        &7u64.to_be_bytes(),
        &7u64.to_be_bytes(),
        &[0; 8],
        b"B...",
    ]
    .concat();
    assert_eq!(
        ReplicationMessage::parse(&xlog).unwrap(),
        ReplicationMessage::XLogData {
            wal_start: 7,
            payload: b"B..."
        }
    );
    let keepalive = [&b"k"[..], &9u64.to_be_bytes(), &[0; 8], &[1]].concat();
    assert_eq!(
        ReplicationMessage::parse(&keepalive).unwrap(),
        ReplicationMessage::Keepalive {
            wal_end: 9,
            reply_requested: true
        }
    );
    for cut in 0..keepalive.len() {
        assert!(ReplicationMessage::parse(&keepalive[..cut]).is_err());
    }
    assert!(ReplicationMessage::parse(b"x12345678901234567890").is_err());
}

#[test]
fn any_bytes_as_any_message_give_a_message_or_an_error() {
    proptest::proptest!(|(tag: u8, body in proptest::collection::vec(proptest::num::u8::ANY, 0..64))| {
        if let Ok(ServerMessage::DataRow(row)) = ServerMessage::parse(Frame { tag, body: &body }) {
            drop(data_row(row));
        }
        drop(ReplicationMessage::parse(&body));
    });
}
