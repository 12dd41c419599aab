//! The TCP listener and its token.

use onceward_control::{
    DoorError, Reach, TcpDoor, Token, TokenInvalid,
    client::{ClientError, ControlClient},
};
use tokio::net::TcpListener;

use crate::stage::{Stage, TOKEN, token};

// covers: S5
#[tokio::test]
async fn a_listener_off_loopback_is_refused_unless_somebody_says_so() {
    let bind = async || TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = TcpDoor::new(bind().await, token(), &[], Reach::Loopback);
    assert!(matches!(&refused, Err(DoorError::NotLoopback { .. })), "{refused:?}");
    assert!(TcpDoor::new(bind().await, token(), &[], Reach::Network).is_ok());
}

// covers: S5
#[test]
fn a_token_that_could_be_guessed_or_not_be_sent_is_none() {
    assert!(Token::new(TOKEN).is_ok());
    assert_eq!(Token::new(&TOKEN[1..]).unwrap_err(), TokenInvalid::Length { chars: 31 });
    assert_eq!(Token::new(&"x".repeat(513)).unwrap_err(), TokenInvalid::Length { chars: 513 });
    assert_eq!(Token::new(&format!("{TOKEN}\n")).unwrap_err(), TokenInvalid::Character);
    assert_eq!(format!("{:?}", token()), "Token(..)");
}

#[tokio::test]
async fn a_client_over_tcp_shows_its_token() {
    let stage = Stage::open().await;
    let stats = ControlClient::tcp(stage.tcp, token()).store().await.unwrap();
    assert_eq!(stats.kind, "memory");
    let stranger = Token::new(&"x".repeat(32)).unwrap();
    let refused = ControlClient::tcp(stage.tcp, stranger).store().await;
    assert!(
        matches!(&refused, Err(ClientError::Refused { status, .. }) if status.as_u16() == 401),
        "{refused:?}"
    );
}

#[tokio::test]
async fn nobody_at_the_address_is_called_not_running() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = ControlClient::tcp(address, token()).store().await;
    assert!(matches!(&refused, Err(ClientError::NotRunning { place, .. }) if *place == address.to_string()));
}

#[tokio::test]
async fn something_else_at_the_address_is_called_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = ControlClient::tcp(address, token());
    let other = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n").await.unwrap();
    };
    let (refused, ()) = tokio::join!(client.store(), other);
    assert!(matches!(&refused, Err(ClientError::Broken { .. })), "{refused:?}");
}
