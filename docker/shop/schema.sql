-- A tiny shop. Used by scripts/demo and docker-compose.yml.
-- REPLICA IDENTITY FULL puts the whole old row into the log, so that updates and deletes show what was there;
-- price_changes has no primary key, so its rows can be inserted and captured, not updated.

CREATE TABLE customers (
    id         integer PRIMARY KEY,
    name       text NOT NULL,
    email      text,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE customers REPLICA IDENTITY FULL;

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    status      text NOT NULL DEFAULT 'new',
    total       numeric(10, 2) NOT NULL
);
ALTER TABLE orders REPLICA IDENTITY FULL;

CREATE TABLE order_lines (
    order_id integer NOT NULL REFERENCES orders ON DELETE CASCADE,
    line     integer NOT NULL,
    article  text NOT NULL,
    quantity integer NOT NULL,
    price    numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE price_changes (
    article    text NOT NULL,
    price      numeric(10, 2) NOT NULL,
    valid_from date NOT NULL
);
