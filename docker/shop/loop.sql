-- One round of business for docker-compose.yml, run every few seconds: a new customer, an order over two tables
-- in one transaction, a payment, and now and then a cancelled order.

\set round `date +%s`
INSERT INTO customers VALUES (:round, 'Customer ' || :round, 'c' || :round || '@example.com');
BEGIN;
INSERT INTO orders VALUES (:round, :round, 'new', 34.50);
INSERT INTO order_lines VALUES (:round, 1, 'teapot', 1, 24.50), (:round, 2, 'cup', 2, 5.00);
COMMIT;
UPDATE orders SET status = 'paid' WHERE id = :round;
DELETE FROM orders WHERE id = :round AND :round % 5 = 0;
INSERT INTO price_changes VALUES ('teapot', 20 + :round % 10, current_date);
