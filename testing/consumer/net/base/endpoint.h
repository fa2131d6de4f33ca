#error "this file of the consumer must never be taken for one of Cordon"
